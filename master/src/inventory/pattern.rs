//! Many names in one word: `lab-{01..40}.uni.example` is forty of them.

use holdfast_proto::words::HostName;

/// More hosts than this are an import.
const NAMES_LIMIT: u32 = 1000;

/// The names that a pattern stands for; `None` where it is none, and why where it is a wrong one.
pub fn names(pattern: &str) -> Option<Result<Vec<HostName>, String>> {
    let (before, rest) = pattern.split_once('{')?;
    Some(expand(pattern, before, rest))
}

fn expand(pattern: &str, before: &str, rest: &str) -> Result<Vec<HostName>, String> {
    let wrong = || format!("\"{pattern}\" is no pattern such as lab-{{01..40}}.uni.example");
    let (range, after) = rest.split_once('}').ok_or_else(wrong)?;
    let (first, last) = range.split_once("..").ok_or_else(wrong)?;
    let number = |text: &str| text.parse::<u32>().ok().filter(|_| text.bytes().all(|byte| byte.is_ascii_digit())).ok_or_else(wrong);
    let (from, to) = (number(first)?, number(last)?);
    if from > to || after.contains(['{', '}']) {
        return Err(wrong());
    }
    if to - from >= NAMES_LIMIT {
        return Err(format!("\"{pattern}\" stands for more than {NAMES_LIMIT} names: import a file instead"));
    }
    // As many digits as the first number is written with.
    let width = if first.starts_with('0') { first.len() } else { 1 };
    let name = |n: u32| format!("{before}{n:0width$}{after}").parse::<HostName>().map_err(|wrong| wrong.to_string());
    (from..=to).map(name).collect()
}

#[cfg(test)]
mod tests {
    use super::names;

    fn check(pattern: &str, expected: &[&str]) {
        let found: Vec<String> = names(pattern).unwrap().unwrap().iter().map(ToString::to_string).collect();
        assert_eq!(found, expected, "{pattern}");
    }

    #[test]
    fn a_pattern_is_counted_out_with_the_digits_it_is_written_with() {
        check("lab-{08..10}.uni.example", &["lab-08.uni.example", "lab-09.uni.example", "lab-10.uni.example"]);
        check("lab-{8..10}.uni.example", &["lab-8.uni.example", "lab-9.uni.example", "lab-10.uni.example"]);
        assert!(names("www.uni.example").is_none());
    }

    #[test]
    fn wrong_patterns_are_told_as_such() {
        for wrong in ["lab-{01..}.uni.example", "lab-{3..1}.uni.example", "lab-{1..2.uni.example", "{1..2}{1..2}.uni.example", "lab-{+1..2}.uni.example"] {
            assert!(names(wrong).unwrap().is_err(), "{wrong}");
        }
        assert!(names("a{1..5000}.uni.example").unwrap().unwrap_err().contains("import"));
    }
}
