//! Two texts, line by line, as `diff -u` shows them.

/// Lines around a change.
const AROUND: usize = 3;
/// The most lines that are compared one by one; longer texts differ as a whole.
const MOST: usize = 4000;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Step {
    Same,
    Gone,
    New,
}

/// The difference in the unified form, without file names; empty if there is none.
pub(super) fn unified(old: &str, new: &str) -> String {
    let (old, new): (Vec<&str>, Vec<&str>) = (old.lines().collect(), new.lines().collect());
    if old == new {
        return String::new();
    }
    let steps = steps(&old, &new);
    let changed: Vec<usize> =
        steps.iter().enumerate().filter(|(_, step)| **step != Step::Same).map(|(at, _)| at).collect();
    let mut out = String::new();
    let (mut a, mut b) = (0, 0);
    let mut shown_to = 0;
    let position = |upto: usize, of: Step| steps[..upto].iter().filter(|step| **step != of).count();
    for (at, step) in steps.iter().enumerate() {
        let near = changed.iter().any(|one| one.abs_diff(at) <= AROUND);
        if near {
            if at == 0 || shown_to != at {
                let (from, to) = (position(at, Step::New), position(at, Step::Gone));
                out.push_str(&format!("@@ -{} +{} @@\n", from + 1, to + 1));
            }
            shown_to = at + 1;
            let (sign, line) = match step {
                Step::Same => (' ', old[a]),
                Step::Gone => ('-', old[a]),
                Step::New => ('+', new[b]),
            };
            out.push(sign);
            out.push_str(line);
            out.push('\n');
        }
        a += usize::from(*step != Step::New);
        b += usize::from(*step != Step::Gone);
    }
    out
}

/// The longest common subsequence, as steps from one to the other.
fn steps(old: &[&str], new: &[&str]) -> Vec<Step> {
    let head = old.iter().zip(new).take_while(|(a, b)| a == b).count();
    let rest = old.len().min(new.len()) - head;
    let tail = old.iter().rev().zip(new.iter().rev()).take(rest).take_while(|(a, b)| a == b).count();
    let (a, b) = (&old[head..old.len() - tail], &new[head..new.len() - tail]);
    let mut steps = vec![Step::Same; head];
    if a.len() > MOST || b.len() > MOST {
        steps.extend(std::iter::repeat_n(Step::Gone, a.len()));
        steps.extend(std::iter::repeat_n(Step::New, b.len()));
    } else {
        let width = b.len() + 1;
        let mut length = vec![0u32; (a.len() + 1) * width];
        for i in (0..a.len()).rev() {
            for j in (0..b.len()).rev() {
                length[i * width + j] = if a[i] == b[j] {
                    length[(i + 1) * width + j + 1] + 1
                } else {
                    length[(i + 1) * width + j].max(length[i * width + j + 1])
                };
            }
        }
        let (mut i, mut j) = (0, 0);
        while i < a.len() || j < b.len() {
            if i < a.len() && j < b.len() && a[i] == b[j] {
                steps.push(Step::Same);
                (i, j) = (i + 1, j + 1);
            } else if i < a.len()
                && (j == b.len() || length[(i + 1) * width + j] >= length[i * width + j + 1])
            {
                steps.push(Step::Gone);
                i += 1;
            } else {
                steps.push(Step::New);
                j += 1;
            }
        }
    }
    steps.extend(std::iter::repeat_n(Step::Same, tail));
    steps
}

#[cfg(test)]
mod tests {
    use super::unified;

    #[test]
    fn differences_are_shown_with_their_neighbours() {
        let old = "a\nb\nc\nd\ne\nf\ng\nh\ni\nj\n";
        let new = "a\nb\nc\nd\nE\nf\ng\nh\ni\nj\nk\n";
        assert_eq!(unified(old, new), "@@ -2 +2 @@\n b\n c\n d\n-e\n+E\n f\n g\n h\n i\n j\n+k\n");
        assert_eq!(unified(old, old), "");
        assert_eq!(unified("", "x\n"), "@@ -1 +1 @@\n+x\n");
    }
}
