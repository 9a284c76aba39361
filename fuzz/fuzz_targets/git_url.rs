#![no_main]
//! Addresses of repositories, as their owners wrote them.

mod git {
    #[derive(Debug)]
    #[allow(dead_code)]
    pub enum Error {
        Url { url: String, text: String },
    }
    #[path = "../../../crates/fleet/src/git/url.rs"]
    pub mod url;
}

use git::url::Url;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    match git::url::parse(text) {
        // What is looked up or connected to never begins like an option or holds a login.
        Ok(Url::Http(url)) => assert!(url.starts_with("http")),
        Ok(Url::Ssh { host, .. }) => assert!(!host.contains('@'), "{host}"),
        Ok(Url::Local(_)) | Err(_) => {}
    }
});
