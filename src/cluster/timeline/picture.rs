//! A timeline as a picture (SVG): a lane a member, bands for what it was at, signs for what happened.

use std::fmt::Write as _;

use super::bands::State;
use super::html::escaped;
use super::{Event, Mark, Timeline};
use crate::galera::moment::{Moment, in_words};

const WIDTH: f64 = 1160.0;
const LEFT: f64 = 132.0;
const RIGHT: f64 = 60.0;
const TOP: f64 = 34.0;
const LANE: f64 = 64.0;
const BAND: f64 = 20.0;
/// Signs closer than this would cover each other.
const APART: f64 = 13.0;
/// So many in one place are shown as one, with their number.
const MANY: usize = 5;

/// Where a moment lies. Long silences are cut short, or a night would leave no room for the minute that
/// matters.
struct Scale {
    /// Moment, and how far from the left; strictly growing.
    stops: Vec<(Moment, f64)>,
    /// Silences that were cut short: where, and how long they were.
    cuts: Vec<(f64, u64)>,
}

impl Scale {
    fn of(timeline: &Timeline) -> Scale {
        let mut moments: Vec<Moment> = timeline.events.iter().map(|e| e.at).collect();
        moments.extend(timeline.bands.iter().flat_map(|b| [b.from, b.to]));
        moments.sort();
        moments.dedup();
        let gaps: Vec<u64> = moments.windows(2).filter_map(|w| Some(w.last()?.since(*w.first()?))).collect();
        let busy: u64 = gaps.iter().map(|g| (*g).min(20_000)).sum();
        let longest = (busy / 4).max(20_000);
        // A second in which much happened still needs room.
        let shown = |gap: u64| if gap > 2 * longest { longest } else { gap.max(400) };
        let whole: u64 = gaps.iter().map(|g| shown(*g)).sum::<u64>().max(1);
        let room = WIDTH - LEFT - RIGHT - 14.0;
        let (mut stops, mut cuts, mut x) = (Vec::new(), Vec::new(), LEFT + 7.0);
        for (at, moment) in moments.iter().enumerate() {
            stops.push((*moment, x));
            let Some(gap) = gaps.get(at) else { break };
            let width = room * shown(*gap) as f64 / whole as f64;
            if *gap > 2 * longest {
                cuts.push((x + width / 2.0, *gap));
            }
            x += width;
        }
        Scale { stops, cuts }
    }

    fn x(&self, moment: Moment) -> f64 {
        let after = self.stops.partition_point(|(at, _)| *at <= moment);
        let before = after.checked_sub(1).and_then(|b| self.stops.get(b));
        match (before, self.stops.get(after)) {
            (Some((a, x)), Some((b, y))) => x + (y - x) * moment.since(*a) as f64 / (b.since(*a).max(1)) as f64,
            (Some((_, x)), None) | (None, Some((_, x))) => *x,
            (None, None) => LEFT,
        }
    }
}

impl Timeline {
    /// The picture. Signs are links to the rows of the table, so that it needs no script.
    pub(super) fn picture(&self) -> String {
        let scale = Scale::of(self);
        let bottom = TOP + LANE * self.lanes.len() as f64;
        let height = bottom + 12.0;
        let mut svg = format!(
            "<svg viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" aria-label=\"A lane for each member, from left to right in time\">\n{DEFINITIONS}"
        );
        self.draw_axis(&mut svg, &scale, bottom);
        for (number, lane) in self.lanes.iter().enumerate() {
            self.draw_lane(&mut svg, &scale, number, lane);
        }
        for (x, gap) in &scale.cuts {
            let _ = writeln!(
                svg,
                "<g class=\"cut\"><rect x=\"{:.1}\" y=\"{TOP}\" width=\"9\" height=\"{:.1}\"/><path d=\"M{:.1} {TOP}V{bottom}M{:.1} {TOP}V{bottom}\"/><text x=\"{x:.1}\" y=\"{:.1}\">{}</text></g>",
                x - 4.5,
                bottom - TOP,
                x - 4.5,
                x + 4.5,
                bottom + 10.0,
                in_words(*gap)
            );
        }
        svg.push_str("</svg>\n");
        svg
    }

    fn draw_axis(&self, svg: &mut String, scale: &Scale, bottom: f64) {
        let mut last = f64::MIN;
        let mut day = String::new();
        for (moment, x) in &scale.stops {
            // A label is about 54 wide.
            if x - last < 66.0 || *x > WIDTH - 40.0 {
                continue;
            }
            last = *x;
            let _ = write!(svg, "<path class=\"tick\" d=\"M{x:.1} {:.1}V{bottom}\"/>", TOP - 5.0);
            let when = moment.to_string();
            let (date, clock) = when.split_once(' ').unwrap_or_default();
            let _ = write!(svg, "<text class=\"time\" x=\"{x:.1}\" y=\"{:.1}\">{clock}</text>", TOP - 9.0);
            if day != date {
                date.clone_into(&mut day);
                let _ = write!(svg, "<text class=\"date\" x=\"{x:.1}\" y=\"{:.1}\">{date}</text>", TOP - 22.0);
            }
        }
        svg.push('\n');
    }

    fn draw_lane(&self, svg: &mut String, scale: &Scale, number: usize, lane: &str) {
        let y = TOP + LANE * number as f64;
        let band = y + 33.0;
        let shown: String = lane.chars().take(18).collect();
        let _ = writeln!(
            svg,
            "<path class=\"lane\" d=\"M0 {y:.1}H{WIDTH}\"/><text class=\"name\" x=\"4\" y=\"{:.1}\">{}</text>",
            band + 14.5,
            escaped(&shown)
        );
        if !self.events.iter().any(|e| e.lane == number) {
            let _ = writeln!(
                svg,
                "<text class=\"none\" x=\"{LEFT}\" y=\"{:.1}\">nothing of this member is known in this time</text>",
                band + 14.0
            );
        }
        for one in self.bands.iter().filter(|b| b.lane == number) {
            let (from, to) = (scale.x(one.from), scale.x(one.to));
            let width = (to - from).max(2.0);
            let (class, word) = described(one.state, one.members);
            let title = format!("{word}, {} to {} ({})", one.from, one.to.clock(), in_words(one.to.since(one.from)));
            let _ = write!(
                svg,
                "<g class=\"band {class}\"><title>{}</title><rect x=\"{from:.1}\" y=\"{band:.1}\" width=\"{width:.1}\" height=\"{BAND}\"/>",
                escaped(&title)
            );
            // About 6.8 a character, bold ones a little more.
            let (short, number) = (word.trim_end_matches(" together"), one.members.to_string());
            let number = if one.members > 0 { number.as_str() } else { "" };
            let fits = |w: &&str| w.chars().count() as f64 * 6.8 + 8.0 < width;
            if let Some(word) = [word.as_str(), short, number].into_iter().find(fits) {
                let _ = write!(svg, "<text x=\"{:.1}\" y=\"{:.1}\">{word}</text>", from + 5.0, band + 14.0);
            }
            svg.push_str("</g>\n");
        }
        self.draw_signs(svg, scale, number, y + 20.0);
    }

    fn draw_signs(&self, svg: &mut String, scale: &Scale, number: usize, y: f64) {
        let shown = |e: &Event| e.lane == number && !matches!(e.mark, Mark::Note | Mark::View { .. });
        let signs: Vec<(f64, usize, &Event)> =
            self.events.iter().enumerate().filter(|(_, e)| shown(e)).map(|(at, e)| (scale.x(e.at), at, e)).collect();
        let (mut from, mut free) = (0, f64::MIN);
        while let Some((x, _, _)) = signs.get(from) {
            let near = signs.iter().skip(from).take_while(|(other, _, _)| other - x < APART).count().max(1);
            let group = signs.get(from..from + near).unwrap_or_default();
            // The worst is what must be seen.
            let mut kinds: Vec<&(f64, usize, &Event)> = Vec::new();
            for sign in group {
                if near <= MANY || !kinds.iter().any(|(_, _, k)| k.mark == sign.2.mark) {
                    kinds.push(sign);
                }
            }
            for (x, at, event) in kinds {
                let x = x.max(free).min(WIDTH - 10.0);
                free = x + APART;
                let times = group.iter().filter(|(_, _, e)| e.mark == event.mark).count();
                let more = if near > MANY && times > 1 { format!(", and {} more", times - 1) } else { String::new() };
                let _ = writeln!(
                    svg,
                    "<a href=\"#e{at}\" class=\"sign {}\"><title>{} {}: {}{more}</title>{}</a>",
                    event.mark.word().replace(' ', "-"),
                    event.at,
                    event.mark.word(),
                    escaped(&event.text),
                    shape(event.mark, x, y)
                );
            }
            from += near;
        }
    }
}

fn described(state: State, members: u32) -> (&'static str, String) {
    match state {
        State::Down => ("down", "down".into()),
        State::Recovering => ("recovering", "finding its position".into()),
        State::Starting => ("starting", "starting".into()),
        State::Primary => ("primary", format!("primary, {members} together")),
        State::NonPrimary => ("nonprimary", format!("no quorum, {members} together")),
    }
}

/// A sign around this point: told apart by form and not by colour alone.
pub(super) fn shape(mark: Mark, x: f64, y: f64) -> String {
    let path = |d: String| format!("<path d=\"{d}\"/>");
    match mark {
        Mark::Start => path(format!("M{:.1} {:.1}l9 5l-9 5z", x - 4.0, y - 5.0)),
        Mark::Stop => path(format!("M{:.1} {:.1}h8v8h-8z", x - 4.0, y - 4.0)),
        Mark::Crash => path(format!("M{:.1} {:.1}l9 9m0 -9l-9 9", x - 4.5, y - 4.5)),
        Mark::Transfer => path(format!("M{:.1} {y:.1}l5 -5v3h4v4h-4v3z", x - 5.0)),
        Mark::Order => path(format!("M{x:.1} {:.1}l5 5l-5 5l-5 -5z", y - 5.0)),
        Mark::Verdict => format!("<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"4.5\"/>"),
        Mark::Trouble => path(format!("M{x:.1} {:.1}l5.5 9.5h-11z", y - 5.5)),
        Mark::View { .. } | Mark::Note => format!("<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"2.5\"/>"),
    }
}

/// Hatches, so that a black and white print still tells the bands apart.
const DEFINITIONS: &str = "<defs>\
<pattern id=\"hatch\" width=\"6\" height=\"6\" patternUnits=\"userSpaceOnUse\" patternTransform=\"rotate(45)\"><rect width=\"6\" height=\"6\" fill=\"#f6c667\"/><path d=\"M0 0V6\" stroke=\"#b86e00\" stroke-width=\"2\"/></pattern>\
<pattern id=\"dots\" width=\"5\" height=\"5\" patternUnits=\"userSpaceOnUse\"><rect width=\"5\" height=\"5\" fill=\"#dbe9f6\"/><circle cx=\"2\" cy=\"2\" r=\"1\" fill=\"#6f9cc4\"/></pattern>\
</defs>\n";
