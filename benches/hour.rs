//! Meetings on the hour: how long until all are launched, against what EC2's buckets allow, and what it costs.
//!
//! Virtual time, so the figures are the same on every machine: `cargo bench --bench hour`, or without a release build
//! `cargo test --bench hour`. Prints the table of `HOUR.md` and draws `hour.svg`.

#![allow(clippy::print_stdout, reason = "it is what a bench is for")]

use std::fmt::Write;
use std::path::Path;
use std::time::Duration;

use elephant_world::hour::{Hour, Report, run};

const COUNTS: [usize; 5] = [1, 10, 100, 500, 2000];

fn hour(meetings: usize, window: u64, concurrency: usize, timeout: u64) -> Hour {
    Hour {
        meetings,
        lead: Duration::from_secs(15 * 60),
        window: Duration::from_secs(60 * window),
        concurrency,
        timeout: Duration::from_secs(timeout),
        event_age: Duration::from_secs(8100),
        twice: 0,
        configured: false,
        seed: 1,
    }
}

fn main() {
    println!(
        "| time-out (s) | concurrency | window (min) | meetings | all launched (s) | buckets allow (s) | ratio | \
         refused launches a machine | refused look-ups a machine | writes a machine | came again | waited for room | \
         given up | lost | twice | left of 15 min (s) |"
    );
    println!("|{}", "--:|".repeat(16));
    for (timeout, concurrency, window) in [
        (60, 1000, 0),
        (300, 1000, 0),
        (600, 1000, 0),
        (900, 1000, 0),
        (900, 1000, 5),
        (900, 1000, 10),
        (900, 10, 0),
        (900, 10, 5),
        (900, 10, 10),
    ] {
        for meetings in COUNTS {
            println!("{}", row(&run(hour(meetings, window, concurrency, timeout))));
        }
    }
    // Subnets and root device from the configuration: one look-up instead of three.
    println!("\nconfigured: {}", row(&run(Hour { configured: true, ..hour(500, 0, 1000, 900) })));
    // Every tenth event comes twice.
    println!("doubled: {}", row(&run(Hour { twice: 10, ..hour(500, 0, 1000, 900) })));
    let seeds: Vec<Report> = (1..=20).map(|seed| run(Hour { seed, ..hour(500, 0, 1000, 900) })).collect();
    let worst = |of: fn(&Report) -> f64| seeds.iter().map(of).fold(0.0, f64::max);
    println!(
        "20 seeds, 500 meetings: ratio at most {:.3}, refused launches a machine at most {:.1}, lost {}, twice {}",
        worst(Report::against_allowed),
        worst(Report::refused_per_machine),
        worst(|report| report.lost as f64),
        worst(|report| report.twice as f64)
    );
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/hour.svg");
    std::fs::write(path, picture()).expect("benches/hour.svg is written");
}

fn row(report: &Report) -> String {
    let Hour { meetings, window, concurrency, timeout, .. } = report.hour;
    let machines = (2 * meetings) as f64;
    let (took, ratio, left) = match report.lost {
        0 => (
            format!("{:.1}", report.took().as_secs_f64()),
            format!("{:.2}", report.against_allowed()),
            format!("{:.0}", report.lead_left()),
        ),
        _ => ("never".to_owned(), "".to_owned(), "".to_owned()),
    };
    format!(
        "| {} | {concurrency} | {} | {meetings} | {took} | {:.1} | {ratio} | {:.1} | {:.1} | {:.1} | {} | {} | {} | {} | {} | {left} |",
        timeout.as_secs(),
        window.as_secs() / 60,
        report.allowed.as_secs_f64(),
        report.refused_per_machine(),
        report.refused_lookups as f64 / machines,
        report.writes as f64 / machines,
        report.repeats(),
        report.waited,
        report.given_up,
        report.lost,
        report.twice,
    )
}

const WIDTH: f64 = 860.0;
const HEIGHT: f64 = 460.0;
const LEFT: f64 = 70.0;
const TOP: f64 = 60.0;
const RIGHT: f64 = 30.0;
const BOTTOM: f64 = 60.0;
/// Of the axes: seconds, and machines.
const SECONDS: f64 = 960.0;
const MACHINES: f64 = 1000.0;

fn x(seconds: f64) -> f64 {
    LEFT + seconds / SECONDS * (WIDTH - LEFT - RIGHT)
}

fn y(machines: f64) -> f64 {
    HEIGHT - BOTTOM - machines / MACHINES * (HEIGHT - TOP - BOTTOM)
}

/// How many of the machines of five hundred meetings are in the record, over time.
fn picture() -> String {
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" width=\"{WIDTH}\" height=\"{HEIGHT}\" \
         font-family=\"sans-serif\" font-size=\"13\">\n<rect width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"white\"/>\n\
         <text x=\"{LEFT}\" y=\"24\" font-size=\"16\">Five hundred meetings on the hour: machines in the record</text>\n"
    );
    let mut line = |from: (f64, f64), to: (f64, f64), style: &str| {
        let _ = writeln!(
            svg,
            "<path d=\"M{:.1} {:.1}L{:.1} {:.1}\" fill=\"none\" {style}/>",
            from.0, from.1, to.0, to.1
        );
    };
    for step in 0..=5 {
        let machines = f64::from(step) * 200.0;
        line((x(0.0), y(machines)), (x(SECONDS), y(machines)), "stroke=\"#ddd\"");
    }
    for minute in (0..=16).step_by(2) {
        let at = x(f64::from(minute) * 60.0);
        line((at, y(0.0)), (at, y(0.0) + 5.0), "stroke=\"#444\"");
    }
    line((x(0.0), y(0.0)), (x(SECONDS), y(0.0)), "stroke=\"#444\"");
    line((x(900.0), y(0.0)), (x(900.0), y(MACHINES)), "stroke=\"#444\" stroke-dasharray=\"2 3\"");
    let mut text = |at: (f64, f64), anchor: &str, colour: &str, text: &str| {
        let _ = writeln!(
            svg,
            "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"{anchor}\" fill=\"{colour}\">{text}</text>",
            at.0, at.1
        );
    };
    for step in 0..=5 {
        let machines = f64::from(step) * 200.0;
        text((LEFT - 8.0, y(machines) + 4.0), "end", "#444", &format!("{machines}"));
    }
    for minute in (0..=16).step_by(2) {
        text((x(f64::from(minute) * 60.0), y(0.0) + 20.0), "middle", "#444", &minute.to_string());
    }
    let middle = x(SECONDS / 2.0);
    text((middle, HEIGHT - 16.0), "middle", "#444", "minutes since the schedules fired, 15 minutes ahead");
    text((x(900.0), y(MACHINES) - 8.0), "middle", "#444", "the meetings start");
    let lines = [
        ("#b3261e", "time-out 60 s, no window: deliveries used up", hour(500, 0, 1000, 60)),
        ("#1f6fb4", "time-out 900 s, no window", hour(500, 0, 1000, 900)),
        ("#2e8540", "time-out 900 s, ten-minute window", hour(500, 10, 1000, 900)),
        ("#9a5fb4", "time-out 900 s, concurrency 10, no window", hour(500, 0, 10, 900)),
    ];
    for (index, (colour, name, _)) in lines.iter().enumerate() {
        let at = y(0.0) - 88.0 + 20.0 * index as f64;
        text((x(410.0), at), "start", colour, name);
    }
    text((x(410.0), y(0.0) - 108.0), "start", "#444", "dashed: what EC2's bucket allows without a window");
    for (colour, _, hour) in lines {
        let report = run(hour);
        let mut path = format!("M{:.1} {:.1}", x(0.0), y(0.0));
        for (index, at) in report.recorded.iter().enumerate().filter(|(index, _)| index % 5 == 4) {
            let _ = write!(path, "L{:.1} {:.1}", x(at.as_secs_f64().min(SECONDS)), y((index + 1) as f64));
        }
        let _ = writeln!(svg, "<path d=\"{path}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>");
    }
    // The bucket: a burst of five, then two a second.
    let allowed = run(hour(500, 0, 1000, 900)).allowed.as_secs_f64();
    let _ = writeln!(
        svg,
        "<path d=\"M{:.1} {:.1}L{:.1} {:.1}\" stroke=\"black\" stroke-width=\"1.5\" stroke-dasharray=\"3 9\"/>",
        x(1.3),
        y(5.0),
        x(allowed),
        y(MACHINES)
    );
    svg.push_str("</svg>\n");
    svg
}
