//! What the engines said of themselves, judged.

use std::path::Path;

use super::finding::Finding;
use super::{places, versions};
use crate::model::policy::{EngineKind, EngineReport, LimitSupport};

/// Parts of an engine whose versions are judged, and the names its report gives them.
const PARTS: [(&str, &str); 3] =
    [("docker", "engine version"), ("containerd", "containerd version"), ("runc", "runc version")];

pub(super) fn findings(reports: &[EngineReport]) -> Vec<Finding> {
    let mut findings: Vec<Finding> = reports.iter().flat_map(findings_of).collect();
    if !reports.iter().any(|report| report.usable) {
        let nothing = Finding::problem("engines", "any", "no engine can be used")
            .remedy("see the hints of each engine");
        findings.insert(0, nothing);
    }
    findings
}

fn findings_of(report: &EngineReport) -> Vec<Finding> {
    let (area, name) = area(report.engine);
    let mut findings = vec![if report.usable {
        Finding::ok(area, name, report.summary.clone())
    } else {
        let finding = Finding::attention(area, name, report.summary.clone());
        match &report.hint {
            Some(hint) => finding.remedy(hint.clone()),
            None => finding,
        }
    }];
    if report.usable {
        findings.push(limits(report));
    }
    if report.engine == EngineKind::Docker && report.usable {
        findings.extend(docker(report));
    }
    findings
}

fn area(engine: EngineKind) -> (&'static str, &'static str) {
    match engine {
        EngineKind::Native => ("native", "boxes"),
        EngineKind::Docker => ("docker", "boxes"),
    }
}

fn limits(report: &EngineReport) -> Finding {
    let (area, _) = area(report.engine);
    let name = "limits";
    match report.capabilities.limits {
        LimitSupport::Cgroup => Finding::ok(area, name, "held for a box as a whole"),
        LimitSupport::Rlimit => {
            Finding::attention(area, name, "held for each process by itself, not for a box")
                .remedy("see control groups above")
        }
        LimitSupport::None => Finding::attention(area, name, "none can be held")
            .remedy("see control groups above, or use --engine docker"),
    }
}

fn detail<'a>(report: &'a EngineReport, name: &str) -> Option<&'a str> {
    report.details.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
}

fn docker(report: &EngineReport) -> Vec<Finding> {
    const AREA: &str = "docker";
    let mut findings: Vec<Finding> = PARTS
        .iter()
        .filter_map(|(part, name)| Some(versions::judge(part, detail(report, name)?)))
        .collect();
    findings.extend(detail(report, "live restore").map(|value| {
        if value.starts_with("on") {
            Finding::ok(AREA, "live restore", value)
        } else {
            Finding::attention(AREA, "live restore", value).remedy(
                "set \"live-restore\": true in /etc/docker/daemon.json, then sudo systemctl \
                 reload docker",
            )
        }
    }));
    findings.extend(detail(report, "process limit").map(|value| {
        if value == "yes" {
            Finding::ok(AREA, "process limit", "a fork bomb stays in its box")
        } else {
            Finding::attention(AREA, "process limit", "this engine's kernel holds none")
                .remedy("mount the pids controller; docker info warns of it")
        }
    }));
    findings.extend(detail(report, "endpoint").and_then(socket));
    if let Some(root) = detail(report, "root directory") {
        let moves = "set \"data-root\" in /etc/docker/daemon.json";
        findings.extend(places::disk("images and containers", Path::new(root), moves));
    }
    findings
}

/// Who may use the engine's socket, which is to be root.
fn socket(endpoint: &str) -> Option<Finding> {
    use std::os::unix::fs::PermissionsExt;
    let path = endpoint.split(" (").next()?;
    let mode = std::fs::metadata(path).ok()?.permissions().mode();
    Some(judge_socket(path, mode))
}

fn judge_socket(path: &str, mode: u32) -> Finding {
    let found = format!("{path}, mode {:o}", mode & 0o777);
    if mode & 0o002 != 0 {
        return Finding::problem("docker", "socket", format!("{found}: everybody may be root"))
            .remedy(format!("sudo chmod o-rw {path}"));
    }
    Finding::ok("docker", "socket", found)
}

#[cfg(test)]
mod tests {
    use super::super::finding::Verdict;
    use super::*;
    use crate::model::policy::Capabilities;

    fn report(details: &[(&str, &str)]) -> EngineReport {
        EngineReport {
            engine: EngineKind::Docker,
            usable: true,
            summary: "version 29.7.1".to_owned(),
            hint: None,
            details: details.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect(),
            capabilities: Capabilities { limits: LimitSupport::Cgroup, ..Capabilities::default() },
        }
    }

    fn verdict(report: &EngineReport, name: &str) -> Option<Verdict> {
        let findings = findings(std::slice::from_ref(report));
        findings.into_iter().find(|found| found.name == name).map(|found| found.verdict)
    }

    #[test]
    fn what_a_restart_of_the_engine_stops_is_told() {
        let off = report(&[("live restore", "off: a restart of the engine stops every box")]);
        assert_eq!(verdict(&off, "live restore"), Some(Verdict::Attention));
        let on = report(&[("live restore", "on: boxes live on")]);
        assert_eq!(verdict(&on, "live restore"), Some(Verdict::Ok));
    }

    #[test]
    fn a_socket_that_everybody_may_use_is_a_problem() {
        assert_eq!(judge_socket("/run/docker.sock", 0o140_666).verdict, Verdict::Problem);
        assert_eq!(judge_socket("/run/docker.sock", 0o140_660).verdict, Verdict::Ok);
    }

    #[test]
    fn parts_of_the_engine_are_judged_by_their_versions() {
        let old = report(&[("runc version", "1.1.5"), ("containerd version", "2.4.0")]);
        assert_eq!(verdict(&old, "runc version"), Some(Verdict::Attention));
        assert_eq!(verdict(&old, "containerd version"), Some(Verdict::Ok));
    }

    #[test]
    fn without_any_engine_there_is_a_problem() {
        let unusable = EngineReport { usable: false, hint: Some("start it".into()), ..report(&[]) };
        assert_eq!(verdict(&unusable, "any"), Some(Verdict::Problem));
        assert_eq!(verdict(&unusable, "boxes"), Some(Verdict::Attention));
        let weak = EngineReport { capabilities: Capabilities::default(), ..report(&[]) };
        assert_eq!(verdict(&weak, "limits"), Some(Verdict::Attention));
    }
}
