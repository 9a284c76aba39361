//! The loop of every generated comparison: each question is asked there and here, and what differs is printed and counted.

use serde_json::Value;

use crate::oracle::{Answer, ask};

/// One kind of questions.
pub struct Layer<'a> {
    /// What is counted: "charts".
    pub name: &'a str,
    /// How this library answers a question.
    pub ours: &'a dyn Fn(&Value) -> Answer,
    /// Whether two answers (upstream's, ours) are the same.
    pub same: &'a dyn Fn(&Answer, &Answer) -> bool,
    /// What is printed of two answers that differ, with the question.
    pub tell: &'a dyn Fn(&Value, &Answer, &Answer) -> String,
    /// How many of them are printed.
    pub shown: usize,
}

impl Layer<'_> {
    /// Asks `count` questions; true if every answer is the same.
    pub fn run(
        &self,
        count: usize,
        seed: u64,
        question: impl Fn(usize, u64) -> Value + Clone + Send + 'static,
    ) -> bool {
        let (mut answered, mut refused, mut differ) = (0, 0, 0);
        let again = question.clone();
        ask((0..count).map(move |number| question(number, seed)), |number, theirs| {
            answered += 1;
            let asked = again(number, seed);
            let ours = (self.ours)(&asked);
            if (self.same)(&theirs, &ours) {
                refused += usize::from(ours.is_err());
                return;
            }
            differ += 1;
            if differ <= self.shown {
                println!(
                    "OTHER {} {number} of seed {seed}\n{}",
                    self.name,
                    (self.tell)(&asked, &theirs, &ours)
                );
            }
        });
        // An oracle that ends early has not agreed.
        assert_eq!(answered, count, "the oracle gave up");
        println!(
            "{}: {count} from seed {seed}, {} same, {refused} refused by both, {differ} other",
            self.name,
            count - refused - differ
        );
        differ == 0
    }
}

/// Both answers, whole.
pub fn both(theirs: &Answer, ours: &Answer) -> String {
    let one = |answer: &Answer| match answer {
        Ok(out) => out.to_string(),
        Err(error) => format!("error {error}"),
    };
    format!("  upstream {}\n  here     {}", one(theirs), one(ours))
}
