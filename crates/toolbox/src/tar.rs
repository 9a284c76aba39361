//! `tar`, as far as `kubectl cp` calls it: `tar cf - <path>…` and `tar xmf - -C <folder>`.

use std::io::{self, Error, Read, Write};
use std::path::Path;

/// Runs with tar's own words: letters first, `-C <folder>`, paths.
pub fn run(args: &[String], input: impl Read, output: impl Write) -> io::Result<()> {
    let mut words = args.iter();
    let letters = words.next().map(|word| word.trim_start_matches('-')).unwrap_or_default();
    let (mut folder, mut paths) = (".", Vec::new());
    while let Some(word) = words.next() {
        match word.as_str() {
            "-C" => folder = words.next().ok_or_else(|| Error::other("-C needs a folder"))?,
            "-" => {}
            path => paths.push(path),
        }
    }
    match letters.chars().next() {
        Some('x') => {
            let mut archive = tar::Archive::new(input);
            archive.set_preserve_mtime(!letters.contains('m'));
            archive.unpack(folder)
        }
        Some('c') => {
            let mut builder = tar::Builder::new(output);
            builder.follow_symlinks(false);
            for path in paths {
                // As GNU's: names in an archive are relative.
                let name = path.trim_start_matches('/');
                let from = Path::new(folder).join(path);
                if from.is_dir() {
                    builder.append_dir_all(name, from)?;
                } else {
                    builder.append_path_with_name(from, name)?;
                }
            }
            builder.into_inner()?.flush()
        }
        _ => Err(Error::other("only c and x are known")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_packed_is_unpacked() {
        let words = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
        let folder = std::env::temp_dir().join(format!("toolbox-tar-{}", std::process::id()));
        let (from, to) = (folder.join("from"), folder.join("to"));
        std::fs::create_dir_all(from.join("inner")).unwrap();
        std::fs::create_dir_all(&to).unwrap();
        std::fs::write(from.join("inner/file"), "text").unwrap();
        let mut packed = Vec::new();
        run(&words(&format!("cf - -C {} inner", from.display())), io::empty(), &mut packed).unwrap();
        run(&words(&format!("-xmf - -C {}", to.display())), packed.as_slice(), io::sink()).unwrap();
        assert_eq!(std::fs::read_to_string(to.join("inner/file")).unwrap(), "text");
        assert!(run(&words("tf -"), io::empty(), io::sink()).is_err());
        std::fs::remove_dir_all(folder).unwrap();
    }
}
