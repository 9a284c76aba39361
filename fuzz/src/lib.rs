//! What several targets share.

/// A tree of files as one text: a line `=== path` begins each but the first, whose path is given.
pub fn files(text: &str, first: &str) -> Vec<(String, String)> {
    let mut files = vec![(first.to_string(), String::new())];
    for line in text.lines() {
        match line.strip_prefix("=== ") {
            Some(path) => files.push((path.trim().to_string(), String::new())),
            None => {
                let last = files.last_mut().expect("because it starts with one");
                last.1.push_str(line);
                last.1.push('\n');
            }
        }
    }
    files
}
