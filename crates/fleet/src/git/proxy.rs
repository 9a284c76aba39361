//! Through an HTTP proxy by CONNECT (RFC 9110, 9.3.6).

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// The longest answer that a proxy may give before its tunnel is open.
const ANSWER: usize = 8 << 10;

/// A connection to `host:port` through `http://[user:password@]host:port`.
pub(super) async fn tunnel(proxy: &str, host: &str, port: u16) -> std::io::Result<TcpStream> {
    let fault = |text: String| std::io::Error::other(format!("the proxy {}: {text}", without_user(proxy)));
    let address = proxy
        .strip_prefix("http://")
        .ok_or_else(|| fault("only http:// proxies are supported".into()))?
        .trim_end_matches('/');
    let (user, address) = match address.rsplit_once('@') {
        Some((user, address)) => (Some(user), address),
        None => (None, address),
    };
    let address = if address.contains(':') { address.to_string() } else { format!("{address}:80") };
    let mut stream = TcpStream::connect(&address).await.map_err(|error| fault(error.to_string()))?;
    let authorization = user
        .map(|user| format!("Proxy-Authorization: Basic {}\r\n", STANDARD.encode(user)))
        .unwrap_or_default();
    let request = format!("CONNECT {host}:{port} HTTP/1.1\r\nHost: {host}:{port}\r\n{authorization}\r\n");
    stream.write_all(request.as_bytes()).await?;
    // Byte by byte up to the empty line: what follows belongs to the tunnel.
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        if answer.len() > ANSWER {
            return Err(fault("its answer is too long".into()));
        }
        answer.push(stream.read_u8().await.map_err(|error| fault(format!("no answer: {error}")))?);
    }
    let first = String::from_utf8_lossy(&answer);
    let first = first.lines().next().unwrap_or_default();
    match first.split(' ').nth(1) {
        Some("200") => Ok(stream),
        _ => Err(fault(format!("refused {host}:{port}: {first}"))),
    }
}

fn without_user(proxy: &str) -> &str {
    proxy.rsplit_once('@').map_or(proxy, |(_, address)| address)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_tunnel_carries_what_follows() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut asked = Vec::new();
            while !asked.ends_with(b"\r\n\r\n") {
                asked.push(stream.read_u8().await.unwrap());
            }
            stream.write_all(b"HTTP/1.1 200 fine\r\nx: y\r\n\r\nhello").await.unwrap();
            String::from_utf8(asked).unwrap()
        };
        let proxy = format!("http://a:b@{address}");
        let (asked, stream) = tokio::join!(server, tunnel(&proxy, "git.example.com", 443));
        let mut text = String::new();
        stream.unwrap().read_to_string(&mut text).await.unwrap();
        assert_eq!(text, "hello");
        assert!(asked.starts_with("CONNECT git.example.com:443 HTTP/1.1\r\n"), "{asked}");
        assert!(asked.contains("Proxy-Authorization: Basic YTpi\r\n"), "{asked}");
    }
}
