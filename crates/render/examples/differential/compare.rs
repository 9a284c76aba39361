//! The loop of every generated comparison: each question is asked there and here, and what differs is printed and counted.
//!
//! What differs is asked anew, for where upstream walks a map by chance one of its answers is enough. The file that `DIFFERENCES`
//! names takes every question that still differs with both answers, a JSON line each.

use std::io::Write;

use serde_json::{Value, json};

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
    /// What is known and left.
    pub known: &'a [Known],
}

/// A class of questions whose answers differ for a known reason: without that reason they are the same.
pub struct Known {
    pub name: &'static str,
    /// Takes the reason out of a question; false if it has none of it.
    pub without: fn(&mut Value) -> bool,
}

impl Layer<'_> {
    /// Asks `count` questions; true if every answer is the same.
    pub fn run(
        &self,
        count: usize,
        seed: u64,
        question: impl Fn(usize, u64) -> Value + Clone + Send + 'static,
    ) -> bool {
        let (mut answered, mut refused) = (0, 0);
        let mut others: Vec<(usize, Answer)> = Vec::new();
        let again = question.clone();
        let since = std::time::Instant::now();
        ask((0..count).map(move |number| question(number, seed)), |number, theirs| {
            answered += 1;
            let ours = (self.ours)(&again(number, seed));
            if (self.same)(&theirs, &ours) {
                refused += usize::from(ours.is_err());
            } else {
                others.push((number, theirs));
            }
        });
        // An oracle that ends early has not agreed.
        assert_eq!(answered, count, "the oracle gave up");
        let took = since.elapsed().as_secs();
        let found = others.len();
        // So often that what is chance comes out once: of a few keys one may come last once in eight times.
        let chance = Known { name: "answered by chance", without: |_| true };
        let mut counts = String::new();
        for (known, times) in std::iter::once((&chance, 64)).chain(self.known.iter().map(|known| (known, 1)))
        {
            let before = others.len();
            self.ask_anew(&mut others, known.without, times, seed, again.clone());
            if before > others.len() || known.name == chance.name {
                counts.push_str(&format!("{} {}, ", before - others.len(), known.name));
            }
        }
        let mut file = std::env::var_os("DIFFERENCES").map(|path| std::fs::File::create(path).unwrap());
        for (at, (number, theirs)) in others.iter().enumerate() {
            let asked = again(*number, seed);
            let ours = (self.ours)(&asked);
            if at < self.shown {
                println!(
                    "OTHER {} {number} of seed {seed}\n{}",
                    self.name,
                    (self.tell)(&asked, theirs, &ours)
                );
            }
            if let Some(file) = &mut file {
                let line = json!({"number": number, "asked": asked, "upstream": whole(theirs), "here": whole(&ours)});
                writeln!(file, "{line}").unwrap();
            }
        }
        println!(
            "{}: {count} from seed {seed} in {took} s, {} same, {refused} refused by both, {counts}{} other",
            self.name,
            count - refused - found,
            others.len()
        );
        others.is_empty()
    }

    /// Asks what differs some times more without a reason, and keeps what upstream never answers as this does.
    fn ask_anew(
        &self,
        others: &mut Vec<(usize, Answer)>,
        without: fn(&mut Value) -> bool,
        times: usize,
        seed: u64,
        question: impl Fn(usize, u64) -> Value,
    ) {
        let changed = |(number, _): &(usize, Answer)| {
            let mut asked = question(*number, seed);
            without(&mut asked).then_some(asked)
        };
        let asked: Vec<Option<Value>> = others.iter().map(changed).collect();
        let places: Vec<usize> = (0..asked.len()).filter(|at| asked[*at].is_some()).collect();
        let mut met = vec![false; asked.len()];
        let all: Vec<Value> =
            asked.iter().flatten().flat_map(|one| std::iter::repeat_n(one.clone(), times)).collect();
        ask(all.into_iter(), |at, theirs| {
            let at = places[at / times];
            if let (false, Some(asked)) = (met[at], &asked[at]) {
                met[at] = (self.same)(&theirs, &(self.ours)(asked));
            }
        });
        let mut met = met.into_iter();
        others.retain(|_| !met.next().unwrap_or_default());
    }
}

fn whole(answer: &Answer) -> Value {
    match answer {
        Ok(out) => json!({"out": out}),
        Err(error) => json!({"error": error}),
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
