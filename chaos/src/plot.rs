//! A run as a picture: confirmed writes a second, the longest silence, and every fault where it came. Plain SVG, no program
//! needed but a browser.

use crate::run::{Span, Story};
use std::fmt::Write;

const WIDTH: f64 = 1_200.0;
const LEFT: f64 = 130.0;
const PLOT_HEIGHT: f64 = 240.0;
const ROW_HEIGHT: f64 = 16.0;
const TOP: f64 = 40.0;
/// Writes are counted in steps of this.
const STEP_NS: u64 = 250_000_000;

/// The picture.
pub(crate) fn draw(seed: u64, story: &Story) -> String {
    let length = story.ended_ns.saturating_sub(story.began_ns).max(1);
    let steps = usize::try_from(length / STEP_NS + 1).unwrap_or(1);
    let mut counts = vec![0_u32; steps];
    for call in story.calls.iter().filter(|call| call.confirmed_at().is_some()) {
        let at = call.returned_ns.unwrap_or(0).saturating_sub(story.began_ns) / STEP_NS;
        if let Some(count) = usize::try_from(at).ok().and_then(|at| counts.get_mut(at)) {
            *count += 1;
        }
    }
    let most = f64::from(counts.iter().copied().max().unwrap_or(0).max(1));
    let x = |ns: u64| LEFT + ns.saturating_sub(story.began_ns) as f64 / length as f64 * (WIDTH - LEFT - 20.0);
    let y = |count: u32| TOP + PLOT_HEIGHT * (1.0 - f64::from(count) / most);

    let came: Vec<&Span> = story.spans.iter().filter(|span| span.left_out.is_none()).collect();
    let mut names: Vec<&str> = came.iter().map(|span| span.fault.kind().name()).collect();
    names.sort_unstable();
    names.dedup();
    let base = TOP + PLOT_HEIGHT;
    let height = base + 40.0 + ROW_HEIGHT * names.len() as f64;

    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" font-family=\"sans-serif\" \
         font-size=\"12\">\n<rect width=\"{WIDTH}\" height=\"{height}\" fill=\"white\"/>\n\
         <text x=\"{LEFT}\" y=\"20\">seed {seed}: confirmed writes a second, and faults</text>\n"
    );
    let mut line = |text: String| {
        // Writing into a string does not fail.
        let _ = writeln!(svg, "{text}");
    };
    for (row, name) in names.iter().enumerate() {
        let top = base + 24.0 + ROW_HEIGHT * row as f64;
        line(format!("<text x=\"8\" y=\"{:.1}\">{name}</text>", top + 11.0));
        for span in came.iter().filter(|span| span.fault.kind().name() == *name) {
            let (from, to) = (x(span.from_ns), x(span.to_ns));
            let width = (to - from).max(2.0);
            line(format!(
                "<rect x=\"{from:.1}\" y=\"{TOP}\" width=\"{width:.1}\" height=\"{PLOT_HEIGHT}\" fill=\"#c33\" opacity=\"0.06\"/>"
            ));
            line(format!("<rect x=\"{from:.1}\" y=\"{top:.1}\" width=\"{width:.1}\" height=\"12\" fill=\"#c33\"/>"));
        }
    }
    let points: Vec<String> = counts
        .iter()
        .enumerate()
        .map(|(step, count)| format!("{:.1},{:.1}", x(story.began_ns + step as u64 * STEP_NS), y(*count)))
        .collect();
    line(format!("<polyline points=\"{}\" fill=\"none\" stroke=\"#136\" stroke-width=\"1.5\"/>", points.join(" ")));
    let healed = x(story.healed_ns);
    line(format!("<line x1=\"{healed:.1}\" x2=\"{healed:.1}\" y1=\"{TOP}\" y2=\"{base}\" stroke=\"#393\"/>"));
    line(format!("<text x=\"{:.1}\" y=\"{:.1}\" fill=\"#393\">healed</text>", healed + 4.0, TOP + 12.0));
    let per_second = most * 1e9 / STEP_NS as f64;
    line(format!("<text x=\"8\" y=\"{:.1}\">{per_second:.0}/s</text>", TOP + 10.0));
    line(format!("<text x=\"8\" y=\"{base}\">0</text>"));
    line(format!("<line x1=\"{LEFT}\" x2=\"{:.1}\" y1=\"{base}\" y2=\"{base}\" stroke=\"#999\"/>", WIDTH - 20.0));
    for second in (0..=length / 1_000_000_000).step_by(10) {
        let at = x(story.began_ns + second * 1_000_000_000);
        line(format!("<text x=\"{at:.1}\" y=\"{:.1}\" fill=\"#666\">{second} s</text>", base + 14.0));
    }
    svg.push_str("</svg>\n");
    svg
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checks::Findings;
    use crate::faults::{Fault, Whom};
    use crate::history::tests::{call, id};
    use crate::history::{Operation, Outcome};

    #[test]
    fn faults_and_writes_are_where_they_came_and_what_was_left_out_is_not() {
        let span = |fault, left_out| {
            let (from_ns, to_ns) = (2_000_000_000, 3_000_000_000);
            Span { from_ns, to_ns, fault, nodes: vec![0], left_out }
        };
        let write = Operation::RegisterRoom { room: id(1), unit: id(2) };
        let confirmed = Outcome::Confirmed { version: 1, changed: true, index: 1 };
        let story = Story {
            calls: vec![call(1, Some(500_000_000), write, confirmed)],
            spans: vec![span(Fault::Kill(Whom::Leader), None), span(Fault::KillAll, Some("down"))],
            findings: Findings::default(),
            began_ns: 0,
            healed_ns: 4_000_000_000,
            ended_ns: 5_000_000_000,
            memory_bytes: 0,
            disks: std::collections::BTreeMap::new(),
            without: Vec::new(),
            logs: Vec::new(),
        };
        let svg = draw(7, &story);
        assert!(svg.contains(">kill</text>") && !svg.contains("kill-all"), "{svg}");
        // 2 of 5 seconds of the width.
        assert!(svg.contains("<rect x=\"550.0\""), "{svg}");
        assert!(svg.contains("4/s") && svg.ends_with("</svg>\n"), "{svg}");
    }
}
