#![no_main]
//! Addresses of repositories, as their owners wrote them.

#[path = "../../crates/fleet/src/git/url.rs"]
mod url;

use libfuzzer_sys::fuzz_target;
use url::Url;

/// What the module's own parent has.
#[derive(Debug)]
#[allow(dead_code)]
pub enum Error {
    Url { url: String, text: String },
}

fuzz_target!(|text: &str| {
    match url::parse(text) {
        // What is looked up or connected to never begins like an option or holds a login.
        Ok(Url::Http(url)) => assert!(url.starts_with("http")),
        Ok(Url::Ssh { host, .. }) => assert!(!host.contains('@'), "{host}"),
        Ok(Url::Local(_)) | Err(_) => {}
    }
});
