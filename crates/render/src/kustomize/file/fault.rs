//! What serde says of a kustomization that it cannot decode: which field it is about, and what is wrong with it.

/// serde's text without the line and column of the intermediate JSON, which would mislead, and of names that are not known only the
/// name: all that are known are many.
pub(super) fn text(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let text = text.rsplit_once(" at line ").map_or(text.as_str(), |(text, _)| text);
    match text.split_once(", expected one of ") {
        Some((text, _)) if text.starts_with("unknown field") => text.into(),
        _ => text.into(),
    }
}

/// The field that begins or ends at a column of JSON on one line, counted from 1, as `labels[0].pairs.x`. Nothing if there is none.
pub(super) fn field(json: &[u8], line: usize, column: usize) -> String {
    if line != 1 {
        return String::new();
    }
    let mut path: Vec<Part> = Vec::new();
    let (mut at, mut key) = (0, true);
    while at < json.len() && at < column {
        match json[at] {
            // What is at fault is the list or the map itself.
            b'{' | b'[' if at + 1 == column => {}
            b'}' | b']' if at + 1 == column => drop(path.pop()),
            b'{' => {
                path.push(Part::Key(String::new()));
                key = true;
            }
            b'[' => {
                path.push(Part::Item(0));
                key = false;
            }
            b'}' | b']' => drop(path.pop()),
            b',' => {
                if let Some(Part::Item(number)) = path.last_mut() {
                    *number += 1;
                } else {
                    key = true;
                }
            }
            b':' => key = false,
            b'"' => {
                let end = end_of_text(json, at);
                if let Some(Part::Key(name)) = path.last_mut().filter(|_| key) {
                    *name = serde_json::from_slice(&json[at..end]).unwrap_or_default();
                }
                at = end - 1;
            }
            _ => {}
        }
        at += 1;
    }
    let mut out = String::new();
    for part in &path {
        match part {
            Part::Item(number) => out.push_str(&format!("[{number}]")),
            Part::Key(name) if name.is_empty() => {}
            Part::Key(name) if out.is_empty() => out.push_str(name),
            Part::Key(name) => {
                out.push('.');
                out.push_str(name);
            }
        }
    }
    out
}

enum Part {
    Key(String),
    Item(usize),
}

/// Behind the quote that ends the text which begins here.
fn end_of_text(json: &[u8], from: usize) -> usize {
    let mut at = from + 1;
    while at < json.len() && json[at] != b'"' {
        at += 1 + usize::from(json[at] == b'\\');
    }
    (at + 1).min(json.len())
}

#[cfg(test)]
mod tests {
    use super::super::Kustomization;

    #[test]
    fn errors_name_the_field() {
        let check = |text: &str, wanted: &str| {
            let error = Kustomization::parse("a", "a/kustomization.yaml", text).unwrap_err();
            assert_eq!(error.to_string(), format!("a/kustomization.yaml: {wanted}"));
        };
        check(
            "resources: a.yaml",
            "resources: invalid Kustomization: invalid type: string \"a.yaml\", expected a sequence",
        );
        check("namePrefx: a", "namePrefx: invalid Kustomization: unknown field `namePrefx`");
        check(
            "labels: [{pairs: {a: b}}, {pairs: {c: d, x: y}}]",
            "labels[1].pairs.x: invalid Kustomization: invalid type: boolean `true`, expected a string",
        );
        check(
            "patches:\n- path: a\n  target: {kin: b}",
            "patches[0].target.kin: invalid Kustomization: unknown field `kin`",
        );
        check(
            "namePrefix: [a]",
            "namePrefix: invalid Kustomization: invalid type: sequence, expected a string",
        );
        check(
            "images: [a]",
            "images[0]: invalid Kustomization: invalid type: string \"a\", expected struct Image",
        );
    }
}
