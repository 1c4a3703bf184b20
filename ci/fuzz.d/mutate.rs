//! Changes an input. libFuzzer's own changes break JSON mostly, and then nothing behind the parser is reached; so
//! half of the changes here are of JSON's values, and of lines.

use libfuzzer_sys::fuzzer_mutate;
use serde_json::{Map, Value, json};

/// Luck that is the same for the same seed.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 11).unwrap_or_default() % sides.max(1)
    }
}

/// Changes an input in place, of which `size` bytes are used, and returns its new size.
pub fn mutate(data: &mut [u8], size: usize, most: usize, seed: u32, kinds: &[&str]) -> usize {
    let mut dice = Dice((u64::from(seed) << 20) | 0x9e37_79b9);
    let input = data.get(..size).unwrap_or_default();
    let (kind, content) = crate::parts(input).unwrap_or(("", input));
    let known = kinds.iter().find(|k| **k == kind).filter(|_| dice.roll(50) > 0).copied();
    let kind = known.unwrap_or_else(|| kinds[dice.roll(kinds.len())]).as_bytes().to_owned();
    let room = most.saturating_sub(kind.len() + 1);
    let mut changed = changed(&mut dice, content, room);
    changed.truncate(room);
    let new = [&kind[..], b"\n", &changed].concat();
    match data.get_mut(..new.len()) {
        Some(place) => place.copy_from_slice(&new),
        None => return size,
    }
    new.len()
}

fn changed(dice: &mut Dice, content: &[u8], room: usize) -> Vec<u8> {
    if dice.roll(2) == 0 {
        return bytes(content, room);
    }
    if let Ok(mut tree) = serde_json::from_slice::<Value>(content) {
        for _ in 0..=dice.roll(3) {
            edit(dice, &mut tree);
        }
        let written = serde_json::to_vec(&tree).unwrap_or_default();
        return if written.len() <= room { written } else { content.to_owned() };
    }
    lines(dice, content, room)
}

/// libFuzzer's own way, which knows the dictionary.
fn bytes(content: &[u8], room: usize) -> Vec<u8> {
    let mut buffer = content.to_owned();
    buffer.resize(room.max(content.len()).max(1), 0);
    let size = fuzzer_mutate(&mut buffer, content.len(), room.max(1));
    buffer.truncate(size);
    buffer
}

/// A line goes, comes twice, changes its place or its content.
fn lines(dice: &mut Dice, content: &[u8], room: usize) -> Vec<u8> {
    let mut all: Vec<Vec<u8>> = content.split(|b| *b == b'\n').map(<[u8]>::to_owned).collect();
    let (at, other) = (dice.roll(all.len()), dice.roll(all.len()));
    match dice.roll(5) {
        0 => drop(all.remove(at)),
        1 => all.insert(other, all[at].clone()),
        2 => all.swap(at, other),
        3 => all[at] = bytes(&all[at], 400.min(room)),
        _ => match serde_json::from_slice::<Value>(&all[at]) {
            Ok(mut tree) => {
                edit(dice, &mut tree);
                all[at] = serde_json::to_vec(&tree).unwrap_or_default();
            }
            Err(_) => all[at] = bytes(&all[at], 400.min(room)),
        },
    }
    all.join(&b'\n')
}

/// Changes one value somewhere in the tree.
fn edit(dice: &mut Dice, tree: &mut Value) {
    let mut paths = Vec::new();
    pointers(tree, String::new(), &mut paths);
    let taken = tree.pointer(&paths[dice.roll(paths.len())]).cloned().unwrap_or_default();
    let Some(place) = tree.pointer_mut(&paths[dice.roll(paths.len())]) else { return };
    match dice.roll(6) {
        // What stands elsewhere has the right form more often than what is made up.
        0 | 1 => *place = taken,
        2 => *place = odd(dice),
        3 => match place {
            Value::String(text) => {
                *text = String::from_utf8_lossy(&bytes(text.as_bytes(), 300)).into_owned();
            }
            Value::Number(number) => {
                let near = number.as_u64().unwrap_or_default();
                *place = json!(if dice.roll(2) == 0 { near.wrapping_sub(1) } else { near.wrapping_add(1) });
            }
            Value::Bool(is) => *is = !*is,
            other => *other = odd(dice),
        },
        4 => less(dice, place),
        _ => more(dice, place, taken),
    }
}

fn less(dice: &mut Dice, place: &mut Value) {
    match place {
        Value::Array(items) if !items.is_empty() => drop(items.remove(dice.roll(items.len()))),
        Value::Object(members) if !members.is_empty() => {
            let name = members.keys().nth(dice.roll(members.len())).cloned().unwrap_or_default();
            members.remove(&name);
        }
        other => *other = Value::Null,
    }
}

fn more(dice: &mut Dice, place: &mut Value, what: Value) {
    match place {
        Value::Array(items) if items.len() < 40 => {
            let again = items.get(dice.roll(items.len())).cloned().unwrap_or(what);
            items.push(again);
        }
        Value::Object(members) => drop(members.insert(format!("k{}", dice.roll(9)), what)),
        other => *other = what,
    }
}

/// Values at the ends of their kinds.
fn odd(dice: &mut Dice) -> Value {
    let values = [
        Value::Null,
        json!(0),
        json!(1),
        json!(-1),
        json!(u64::MAX),
        json!(i64::MAX),
        json!(i64::MIN),
        json!(u32::MAX),
        json!(i32::MIN),
        json!(1e308),
        json!(0.1),
        json!(true),
        json!(""),
        json!("\u{0}\u{1b}[31m\n\u{feff}\u{202e}é"),
        json!("00000000-0000-0000-0000-000000000000"),
        json!("746e46f3-8f76-11e7-9c1c-a220eabab4ba:18446744073709551615"),
        json!("1970-01-01T00:00:00Z"),
        json!("9999-12-31 23:59:59"),
        json!("18446744073709551615s"),
        json!("mysql/0"),
        json!("x".repeat(5000)),
        json!([]),
        Value::Object(Map::new()),
    ];
    values[dice.roll(values.len())].clone()
}

fn pointers(tree: &Value, here: String, found: &mut Vec<String>) {
    match tree {
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(at, inner)| pointers(inner, format!("{here}/{at}"), found));
        }
        Value::Object(members) => members.iter().for_each(|(name, inner)| {
            pointers(inner, format!("{here}/{}", name.replace('~', "~0").replace('/', "~1")), found);
        }),
        _ => {}
    }
    found.push(here);
}
