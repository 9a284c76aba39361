#![no_main]
//! What a shim reads from its socket: frames in whatever pieces, with requests and answers in them.

use libfuzzer_sys::fuzz_target;
use shim::frame::{self, Decoder};
use shim::protocol::{Message, Request};

fuzz_target!(|bytes: &[u8]| {
    let mut decoder = Decoder::default();
    let size = usize::from(bytes.first().copied().unwrap_or(1)).max(1);
    for piece in bytes.chunks(size) {
        decoder.push(piece, Vec::new());
        while let Ok(Some(frame)) = decoder.take() {
            let written = frame::encode(&frame.body, 0).expect("because it was read");
            assert_eq!(written[5..], frame.body);
            if let Ok(request) = serde_json::from_slice::<Request>(&frame.body) {
                let _ = serde_json::to_vec(&request).expect("because it was read");
            }
            let _ = serde_json::from_slice::<Message>(&frame.body);
        }
    }
});
