//! `$GENERATE`, BIND's way to write a run of records in one line.

/// So many records may one line make.
pub const GENERATE_LIMIT_RECORDS: u32 = 65_536;
/// A number is padded to so many digits at most: a label has 63 bytes.
const WIDTH_LIMIT: usize = 63;

/// `start-stop` or `start-stop/step`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Range {
    start: u32,
    stop: u32,
    step: u32,
}

impl Range {
    /// Reads the first argument.
    pub fn parse(text: &str) -> Result<Self, String> {
        let wrong = || format!("\"{text}\" is not a range such as 1-20 or 0-100/2");
        let (span, step) = text.split_once('/').unwrap_or((text, "1"));
        let (start, stop) = span.split_once('-').ok_or_else(wrong)?;
        let number = |digits: &str| digits.parse::<u32>().map_err(|_| wrong()).and_then(|n| if n <= i32::MAX as u32 { Ok(n) } else { Err(wrong()) });
        let range = Self { start: number(start)?, stop: number(stop)?, step: number(step)? };
        if range.step == 0 || range.stop < range.start {
            return Err(wrong());
        }
        match (range.stop - range.start) / range.step {
            more if more >= GENERATE_LIMIT_RECORDS => Err(format!("\"{text}\" makes more than {GENERATE_LIMIT_RECORDS} records: split it")),
            _ => Ok(range),
        }
    }

    /// The numbers, ascending.
    pub fn numbers(self) -> impl Iterator<Item = u32> {
        (self.start..=self.stop).step_by(self.step as usize)
    }
}

/// Puts the number in the place of each `$` or `${offset,width,base}`; `\$` and `$$` stand for the character itself.
pub fn fill(template: &str, number: u32) -> Result<String, String> {
    let mut text = String::with_capacity(template.len() + 4);
    let mut rest = template;
    while let Some(at) = rest.find(['$', '\\']) {
        text.push_str(&rest[..at]);
        let tail = &rest[at + 1..];
        if rest.as_bytes()[at] == b'\\' {
            let next = tail.chars().next();
            if next != Some('$') {
                text.push('\\');
            }
            text.extend(next);
            rest = &tail[next.map_or(0, char::len_utf8)..];
        } else if let Some(after) = tail.strip_prefix('$') {
            text.push('$');
            rest = after;
        } else if let Some(inner) = tail.strip_prefix('{') {
            let (modifier, after) = inner.split_once('}').ok_or_else(|| format!("\"{template}\" has ${{ without }}"))?;
            let shown = modified(modifier, number).ok_or_else(|| format!("${{{modifier}}} is not offset, width and one of d, o, x, X, n, N"))?;
            text.push_str(&shown);
            rest = after;
        } else {
            text.push_str(&number.to_string());
            rest = tail;
        }
    }
    text.push_str(rest);
    Ok(text)
}

fn modified(modifier: &str, number: u32) -> Option<String> {
    let mut parts = modifier.split(',');
    let offset: i64 = parts.next()?.parse().ok().filter(|offset: &i64| offset.unsigned_abs() <= u64::from(u32::MAX))?;
    let width: usize = parts.next().map_or(Some(0), |width| width.parse().ok()).filter(|width| *width <= WIDTH_LIMIT)?;
    let base = parts.next().unwrap_or("d");
    let value = u64::try_from(i64::from(number) + offset).ok()?;
    if parts.next().is_some() {
        return None;
    }
    Some(match base {
        "d" => format!("{value:0width$}"),
        "o" => format!("{value:0width$o}"),
        "x" => format!("{value:0width$x}"),
        "X" => format!("{value:0width$X}"),
        "n" => nibbles(&format!("{value:x}"), width),
        "N" => nibbles(&format!("{value:X}"), width),
        _ => return None,
    })
}

/// Hexadecimal digits from the lowest, dots between, as ip6.arpa wants them; the width counts the dots too.
fn nibbles(hex: &str, width: usize) -> String {
    let digits = hex.chars().rev().chain(std::iter::repeat('0'));
    let count = hex.len().max(width.div_ceil(2));
    digits.take(count).map(String::from).collect::<Vec<_>>().join(".")
}
