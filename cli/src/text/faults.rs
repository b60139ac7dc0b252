//! What nodes say is wrong, in the reader's language. Nodes speak English and give a number; the sentences that they
//! are known to say have their Portuguese here, with the names and counts that stood in them. One that is not known is
//! told by what its number means.

use super::{Lang, codes};

/// Number, English as nodes say it, Portuguese. Each `{}` takes what stands there.
const SENTENCES: &[(u32, &str, &str)] = &[
    (2001, "this node is sealed: it serves no content", "este nó está lacrado: não serve conteúdo"),
    (2001, "this node is sealed", "este nó está lacrado"),
    (
        2101,
        "no leader is known: writes and linearizable reads wait",
        "nenhum líder conhecido: gravações e leituras exatas esperam",
    ),
    (2101, "no leader is known", "nenhum líder conhecido"),
    (
        2301,
        "this node's certificate expires in {} days, and a third of its life or less is left",
        "o certificado deste nó vence em {} dias, e resta um terço da vida dele ou menos",
    ),
    (
        2301,
        "this node's certificate has expired: the others refuse it",
        "o certificado deste nó venceu: os outros o recusam",
    ),
    (2301, "this node's certificate has expired", "o certificado deste nó venceu"),
    (2302, "the new certificate files are not used: {}", "os novos arquivos de certificado não estão em uso: {}"),
    (2303, "{} does not answer", "{} não responde"),
    (2304, "{} is {} entries behind", "{} está {} entradas atrás"),
    (
        2305,
        "{} and {} have not reached each other for {} s, though both are up",
        "{} e {} não se alcançam há {} s, embora ambos estejam no ar",
    ),
    (
        2305,
        "{} has not reached {} for {} s, though both are up",
        "{} não alcança {} há {} s, embora ambos estejam no ar",
    ),
    (2306, "the disk of {} is nearly full", "o disco de {} está quase cheio"),
    (
        2105,
        "the disks of {} of {} voters are nearly full: nothing is written until there is room",
        "os discos de {} de {} votantes estão quase cheios: nada é gravado até haver espaço",
    ),
    (
        2661,
        "this node's certificate is revoked: the others refuse it",
        "o certificado deste nó foi revogado: os outros o recusam",
    ),
    (2662, "the revocation list needs attention: {}", "a lista de revogação pede atenção: {}"),
    (
        3101,
        "this node found bad copies of images within a day ({} since it started); they are fetched again",
        "este nó achou cópias ruins de imagens em um dia ({} desde o início); elas são buscadas de novo",
    ),
    (
        3102,
        "no node could give {} chunks of images that should be here",
        "nenhum nó pôde dar {} pedaços de imagens que deviam estar aqui",
    ),
    (
        3103,
        "the chunk directory of this node cannot be used: it keeps no images",
        "o diretório de imagens deste nó não pode ser usado: ele não guarda imagens",
    ),
];

/// What is wrong.
pub(crate) fn what(lang: Lang, number: u32, message: &str) -> String {
    if lang == Lang::En {
        return message.to_owned();
    }
    let mut known = SENTENCES.iter().filter(|(code, ..)| *code == number);
    if let Some(told) = known.find_map(|(_, english, told)| Some(filled(told, &values(english, message)?))) {
        return told;
    }
    codes::find(number).map_or_else(|| message.to_owned(), |code| code.told(lang).0.to_owned())
}

/// What to do about it.
pub(crate) fn help(lang: Lang, number: u32, help: &str) -> String {
    match codes::find(number) {
        Some(code) if lang != Lang::En => code.told(lang).1.to_owned(),
        _ => help.to_owned(),
    }
}

/// What stands in the places of a sentence; `None`: it is another one.
fn values<'a>(sentence: &str, message: &'a str) -> Option<Vec<&'a str>> {
    let mut parts = sentence.split("{}");
    let mut rest = message.strip_prefix(parts.next()?)?;
    let mut values = Vec::new();
    let mut open = false;
    for part in parts {
        let at = if part.is_empty() { rest.len() } else { rest.find(part)? };
        values.push(&rest[..at]);
        rest = &rest[at + part.len()..];
        open = part.is_empty();
    }
    (open || rest.is_empty()).then_some(values)
}

fn filled(sentence: &str, values: &[&str]) -> String {
    let mut values = values.iter();
    let mut parts = sentence.split("{}");
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |text, part| text + values.next().unwrap_or(&"") + part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sentences_keep_their_values() {
        let told = |number, message| what(Lang::PtBr, number, message);
        assert_eq!(told(2303, "cofre does not answer"), "cofre não responde");
        assert_eq!(told(2304, "cofre is 812 entries behind"), "cofre está 812 entradas atrás");
        let cut = "centro and cofre have not reached each other for 42 s, though both are up";
        assert_eq!(told(2305, cut), "centro e cofre não se alcançam há 42 s, embora ambos estejam no ar");
        let failed = "the new certificate files are not used: the key is another's";
        assert_eq!(told(2302, failed), "os novos arquivos de certificado não estão em uso: the key is another's");
        assert_eq!(what(Lang::En, 2303, "cofre does not answer"), "cofre does not answer");
    }

    #[test]
    fn what_is_not_known_is_told_by_its_number() {
        let code = codes::find(2303).map(|code| code.told(Lang::PtBr));
        assert_eq!(Some(what(Lang::PtBr, 2303, "a newer node says more").as_str()), code.map(|told| told.0));
        assert_eq!(Some(help(Lang::PtBr, 2303, "look").as_str()), code.map(|told| told.1));
        let newer = (what(Lang::PtBr, 8_999, "something new"), help(Lang::PtBr, 8_999, "do it"));
        assert_eq!(newer, ("something new".to_owned(), "do it".to_owned()));
        assert_eq!(help(Lang::En, 2303, "look"), "look");
    }

    #[test]
    fn every_sentence_finds_itself_and_has_as_many_places() {
        for (number, english, told) in SENTENCES {
            assert_eq!(english.matches("{}").count(), told.matches("{}").count(), "{english}");
            let said = english.replace("{}", "x y");
            assert_eq!(what(Lang::PtBr, *number, &said), told.replace("{}", "x y"));
            assert!(codes::find(*number).is_some(), "{number}");
        }
    }
}
