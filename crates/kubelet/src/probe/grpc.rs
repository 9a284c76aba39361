//! `grpc`: one call of grpc.health.v1.Health/Check over plain HTTP/2. The two messages have one field each, so no
//! protobuf library is needed.

use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use http_body_util::{BodyExt, Full, Limited};
use hyper::Request;
use hyper_util::rt::{TokioExecutor, TokioIo};

use super::Outcome;
use super::run::connect;

/// Asks whether `service` is SERVING.
pub async fn check(host: &str, port: u16, service: &str, limit: Duration) -> Outcome {
    match tokio::time::timeout(limit, call(host, port, service, limit)).await {
        Ok(Ok(1)) => Outcome::Success,
        Ok(Ok(status)) => {
            let name = match status {
                0 => "UNKNOWN",
                2 => "NOT_SERVING",
                _ => "SERVICE_UNKNOWN",
            };
            Outcome::Failure(format!("service unhealthy (responded with {name:?})"))
        }
        Ok(Err(message)) => Outcome::Failure(message),
        Err(_) => {
            Outcome::Failure(format!("timeout: health rpc did not complete within {}s", limit.as_secs()))
        }
    }
}

async fn call(host: &str, port: u16, service: &str, limit: Duration) -> Result<u64, String> {
    let told = |error: hyper::Error| format!("error: health rpc probe failed: {error}");
    let stream = connect(host, port, limit).await.map_err(|error| {
        format!("timeout: failed to connect service \"{host}:{port}\" within {}s: {error}", limit.as_secs())
    })?;
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
            .await
            .map_err(told)?;
    let request = Request::post(format!("http://{host}:{port}/grpc.health.v1.Health/Check"))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .header("user-agent", "kube-probe/1.36")
        .body(Full::new(request(service)))
        .map_err(|error| error.to_string())?;
    let run = async {
        let answer = sender.send_request(request).await.map_err(told)?;
        let early = answer.headers().get("grpc-status").cloned();
        let body =
            Limited::new(answer.into_body(), 1 << 16).collect().await.map_err(|error| error.to_string())?;
        let status = body.trailers().and_then(|trailers| trailers.get("grpc-status")).cloned().or(early);
        match status.as_ref().and_then(|status| status.to_str().ok()).unwrap_or("0") {
            "0" => response(&body.to_bytes())
                .ok_or_else(|| "error: health rpc probe failed: the answer is no health response".to_owned()),
            "12" => {
                Err("error: this server does not implement the grpc health protocol (grpc.health.v1.Health)"
                    .to_owned())
            }
            code => Err(format!("error: health rpc probe failed: rpc error: code = {code}")),
        }
    };
    tokio::pin!(run);
    tokio::select! {
        status = &mut run => status,
        ended = connection => match ended {
            Ok(()) => run.await,
            Err(error) => Err(told(error)),
        },
    }
}

/// HealthCheckRequest { string service = 1 } in a gRPC frame.
fn request(service: &str) -> Bytes {
    let mut message = BytesMut::new();
    if !service.is_empty() {
        message.put_u8(0x0a);
        let mut length = service.len();
        while length >= 0x80 {
            message.put_u8((length & 0x7f) as u8 | 0x80);
            length >>= 7;
        }
        message.put_u8(length as u8);
        message.put_slice(service.as_bytes());
    }
    let mut frame = BytesMut::with_capacity(message.len() + 5);
    frame.put_u8(0);
    frame.put_u32(message.len() as u32);
    frame.put(message);
    frame.freeze()
}

/// The status of HealthCheckResponse { ServingStatus status = 1 }; an absent field is 0.
fn response(frame: &[u8]) -> Option<u64> {
    let message = frame.get(5..)?;
    match message {
        [] => Some(0),
        [0x08, status, ..] => Some(u64::from(*status)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wire_form() {
        assert_eq!(&request("")[..], [0, 0, 0, 0, 0]);
        assert_eq!(&request("ab")[..], [0, 0, 0, 0, 4, 0x0a, 2, b'a', b'b']);
        assert_eq!(response(&[0, 0, 0, 0, 2, 8, 1]), Some(1));
        assert_eq!(response(&[0, 0, 0, 0, 0]), Some(0));
        assert_eq!(response(&[0]), None);
    }
}
