#![no_main]
//! Packets to the cluster's DNS.

use libfuzzer_sys::fuzz_target;

fuzz_target!(|packet: &[u8]| {
    if let Some(answer) = dns::fuzz_read(packet) {
        assert_eq!(answer.get(..2), packet.get(..2), "an answer to another question");
    }
});
