//! The pages of the alerts, as they stand in `docs/operations`: what `plantao explain PlantaoNoLeader` prints. Whoever is
//! woken at night may have this tool and no manual. The rules themselves are in `deploy/prometheus/rules.yml`; a test of the
//! workspace holds the list here to them.
//!
//! ```text
//! # NAME  ─ summary and severity
//! ## Meaning · ## First look · ## Remedy · ## When to call                              docs/operations/alerts, English
//! ## O que significa · … · ## O que dizer à equipe                                      docs/operations/alertas, Portuguese
//! ```

use super::Lang;

/// An alert's page in both languages.
#[derive(Debug)]
pub(crate) struct Alert {
    /// As in the rules.
    pub(crate) name: &'static str,
    pt_br: &'static str,
    en: &'static str,
}

macro_rules! alerts {
    ($($name:literal,)*) => {
        &[$(Alert {
            name: $name,
            pt_br: include_str!(concat!("../../../docs/operations/alertas/", $name, ".md")),
            en: include_str!(concat!("../../../docs/operations/alerts/", $name, ".md")),
        },)*]
    };
}

/// All of them, by name.
static ALERTS: &[Alert] = alerts![
    "PlantaoCertificateExpires",
    "PlantaoCertificateReloadFailed",
    "PlantaoCertificateRenewalDue",
    "PlantaoDiskFilling",
    "PlantaoDiskNearlyFull",
    "PlantaoImageCopiesBad",
    "PlantaoImageCopiesLate",
    "PlantaoImageCopiesUnchecked",
    "PlantaoImageCopiesWithoutSource",
    "PlantaoJournalBacklog",
    "PlantaoLeaderChanges",
    "PlantaoLinkCut",
    "PlantaoNoLeader",
    "PlantaoNodeBehind",
    "PlantaoNodeCutOff",
    "PlantaoNodeDown",
    "PlantaoRequestsFailing",
    "PlantaoRequestsSlow",
    "PlantaoRestarts",
    "PlantaoUnitSealed",
];

/// The alert of this name, in any case, with or without `Plantao` before it.
pub(crate) fn find(name: &str) -> Option<&'static Alert> {
    let short = |name: &str| {
        let lower = name.to_ascii_lowercase();
        lower.strip_prefix("plantao").map_or_else(|| lower.clone(), str::to_owned)
    };
    ALERTS.iter().find(|alert| short(alert.name) == short(name))
}

impl Alert {
    /// The whole page.
    pub(crate) const fn page(&self, lang: Lang) -> &'static str {
        match lang {
            Lang::PtBr => self.pt_br,
            Lang::En => self.en,
        }
    }

    /// Whether somebody must be woken for it.
    pub(crate) fn is_critical(&self) -> bool {
        self.en.contains("Severity: critical.")
    }

    /// What it means.
    pub(crate) fn meaning(&self, lang: Lang) -> String {
        section(self.page(lang), of(lang, "O que significa", "Meaning"))
    }

    /// Commands to look with, one a line.
    pub(crate) fn first_look(&self) -> Vec<&'static str> {
        self.en.lines().filter_map(|line| line.strip_prefix("$ ")).collect()
    }

    /// What to do.
    pub(crate) fn remedy(&self, lang: Lang) -> String {
        section(self.page(lang), of(lang, "O que fazer", "Remedy"))
    }

    /// When to call whom.
    pub(crate) fn call(&self, lang: Lang) -> String {
        section(self.page(lang), of(lang, "Quando chamar", "When to call"))
    }
}

const fn of(lang: Lang, pt_br: &'static str, en: &'static str) -> &'static str {
    match lang {
        Lang::PtBr => pt_br,
        Lang::En => en,
    }
}

/// The text below a heading up to the next, its lines joined; a page without it says nothing.
fn section(page: &str, heading: &str) -> String {
    let below = page.lines().skip_while(|line| line.strip_prefix("## ") != Some(heading)).skip(1);
    let lines: Vec<&str> = below.take_while(|line| !line.starts_with('#')).map(str::trim).collect();
    lines.join(" ").trim().to_owned()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use crate::{golden, help};

    /// Everybody who is woken finds the same things in the same places.
    #[test]
    fn every_page_has_each_section_in_both_languages() {
        let headings =
            |page: &'static str| -> Vec<&str> { page.lines().filter(|line| line.starts_with('#')).collect() };
        for alert in ALERTS {
            let title = format!("# {}", alert.name);
            let en = [title.as_str(), "## Meaning", "## First look", "## Remedy", "## When to call"];
            assert_eq!(headings(alert.en), en, "{}", alert.name);
            let pt_br = [&title, "## O que significa", "## Primeira olhada", "## O que fazer", "## Quando chamar"];
            assert_eq!(headings(alert.pt_br)[..5], pt_br, "{}", alert.name);
            assert_eq!(headings(alert.pt_br)[5..], ["## O que dizer à equipe"], "{}", alert.name);
            for lang in [Lang::PtBr, Lang::En] {
                for text in [alert.meaning(lang), alert.remedy(lang), alert.call(lang)] {
                    assert!(text.len() > 20, "{} says nothing: {text:?}", alert.name);
                }
            }
            assert!(!alert.first_look().is_empty(), "{}", alert.name);
            let looks = |page: &'static str| page.lines().filter(|line| line.starts_with("$ ")).collect::<Vec<_>>();
            assert_eq!(looks(alert.en), looks(alert.pt_br), "{}", alert.name);
            let severities = [alert.en.contains("Severity: critical."), alert.pt_br.contains("Gravidade: crítico.")];
            assert_eq!(severities, [alert.is_critical(); 2], "{}", alert.name);
        }
    }

    /// At three in the morning nobody repairs a command of the manual.
    #[test]
    fn every_command_of_a_page_is_understood() {
        let mut count = 0;
        for alert in ALERTS {
            for page in [alert.en, alert.pt_br] {
                for command in golden::commands_in(page) {
                    let parsed = help::pages(Lang::En).try_get_matches_from(golden::shell_words(&command));
                    assert!(parsed.is_ok(), "{}: {command}\n{}", alert.name, parsed.unwrap_err());
                    count += 1;
                }
            }
        }
        assert!(count > 20, "only {count} commands were looked at");
    }

    #[test]
    fn an_alert_is_found_by_its_name_in_any_case_and_by_no_other() {
        assert_eq!(find("PlantaoNoLeader").unwrap().name, "PlantaoNoLeader");
        assert_eq!(find("noleader").unwrap().name, "PlantaoNoLeader");
        for name in ["", "Plantao", "PLT-1204", "NoLeade", "PlantaoPlantaoNoLeader"] {
            assert!(find(name).is_none(), "{name}");
        }
    }
}
