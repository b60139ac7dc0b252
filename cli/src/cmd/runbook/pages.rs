//! The text of the runbooks. Pure: a network in, pages out. Commands here are for this tool as it is; a test parses each.

use super::{Network, Place};
use crate::output::pages::Page;

/// What the pages about a fault have in common.
const HEADINGS: &str = "Quem age · Como saber · O que fazer · Como validar · Como voltar";

/// All pages, in the order in which they are read.
pub(super) fn all(network: &Network) -> Vec<Page> {
    let mut pages = vec![first(network), notice(network), planned(network)];
    pages.extend(network.places.iter().map(|place| lost(network, place)));
    pages.push(majority(network));
    pages
}

fn page(file: String, title: String, network: &Network, body: &str) -> Page {
    let text = format!(
        "# {title}\n\nRede {} ({}), {}. Gerado em {} com `plantao runbook`.\n\n{}\n",
        network.name,
        network.id,
        network.label,
        network.made,
        body.trim()
    );
    Page { file, title, text }
}

/// Contacts, or lines to fill in by hand.
fn contacts(network: &Network) -> String {
    if network.contacts.is_empty() {
        return "- Operação: ______________________________\n- Gerência: ______________________________\n\
                - Encarregado de dados (DPO): ______________________________\n"
            .to_owned();
    }
    network.contacts.iter().map(|contact| format!("- {contact}\n")).collect()
}

fn names(places: &[&Place]) -> String {
    places.iter().map(|place| place.name.as_str()).collect::<Vec<_>>().join(", depois ")
}

fn kind(place: &Place) -> &'static str {
    match (place.keyed, place.votes) {
        (true, true) => "unidade, votante",
        (true, false) => "unidade, aprendiz",
        (false, true) => "externo, votante",
        (false, false) => "externo, aprendiz",
    }
}

/// How many voters may be lost while this many are left.
fn spare(voters: usize, majority: usize) -> String {
    match voters.saturating_sub(majority) {
        0 => "nenhum votante".to_owned(),
        1 => "1 votante".to_owned(),
        more => format!("{more} votantes"),
    }
}

fn first(network: &Network) -> Page {
    let leader = network.leader().map_or_else(|| "nenhum: falta maioria".to_owned(), |place| place.name.clone());
    let next = network.leader.map(|leader| names(&network.successors(leader))).filter(|names| !names.is_empty());
    let rows: String = network
        .places
        .iter()
        .map(|place| {
            format!(
                "| {} | {} | {} | {} | {} | {} | {} |\n",
                place.name,
                place.number,
                kind(place),
                place.site,
                place.country,
                place.medium,
                place.address
            )
        })
        .collect();
    let lost: String =
        network.places.iter().map(|place| format!("- Parou {}: `queda-{}.md`\n", place.name, place.name)).collect();
    let body = format!(
        "Roteiros desta rede, feitos a partir de como ela estava nesse instante. Gere de novo depois de cada mudança de nós e imprima:\n\
         na hora em que se precisa deles, o computador pode estar parado. Cada um diz: {HEADINGS}.\n\n\
         ## Quem é quem\n\n\
         | nó | número | papel | local | país | mídia | endereço entre nós |\n|---|---|---|---|---|---|---|\n{rows}\n\
         Lidera: **{leader}** (termo {}). Assume se ele parar: **{}**.\n\
         Votantes: {}; maioria: {}. Suporta perder {} sem parar de gravar.\n\n\
         ## Quem chamar\n\n{}\n\
         ## Primeira olhada, sempre\n\n\
         ```console\n$ plantao status\n$ plantao doctor\n```\n\
         O que está errado aparece abaixo da tabela, com o próximo comando; `doctor` acha as falhas usuais. Quem liderou, por quê e o que \
         custou: `plantao history`. Sem líder: `plantao status --stale`. Um código \
         PLT ou um alerta: `plantao explain PLT-2101`, `plantao explain PlantaoNoLeader`.\n\n\
         ## Qual roteiro\n\n{lost}\
         - Trocar o líder de propósito (manutenção, nobreak): `troca-planejada.md`\n\
         - Parou mais da metade dos votantes: `maioria-perdida.md`\n\
         - O que dizer à equipe: `aviso-a-equipe.md`\n",
        network.term,
        next.unwrap_or_else(|| "–".to_owned()),
        network.voters(),
        network.majority(),
        spare(network.voters(), network.majority()),
        contacts(network),
    );
    page("leia-primeiro.md".to_owned(), "Leia primeiro: roteiros do plantão".to_owned(), network, &body)
}

fn notice(network: &Network) -> Page {
    let body = format!(
        "*Para imprimir e deixar na recepção. Sem termos técnicos.*\n\n\
         ## Se o sistema parar de salvar\n\n\
         1. **Espere dez segundos e tente uma vez de novo.** Quase sempre outra unidade já assumiu.\n\
         2. Se aparecer \"resultado desconhecido\", **não repita**: abra a agenda e veja se o horário ficou marcado.\n\
         3. Continue consultando a agenda: ela abre mesmo sem salvar.\n\
         4. Se passar de dois minutos, anote em papel: nome, telefone, profissional, horário **e a hora da anotação**. \
         Diga \"vou confirmar por telefone\". Não prometa encaixes.\n\
         5. Ligue para quem está de plantão:\n\n{}\n\
         ## O que nunca fazer\n\n\
         - Desligar ou reiniciar o computador do plantão, ou tirar cabos e pendrives dele.\n\
         - Apagar fotos da câmera ou do celular antes de o sistema dizer que estão guardadas.\n\
         - Marcar duas vezes \"para garantir\".\n\n\
         ## Quando voltar\n\n\
         Quem está de plantão avisa. Lance o que anotou em papel, na ordem da hora anotada. Se o horário já tiver outro paciente, o \
         sistema recusa: ligue para os dois e combine.\n\n\
         ## Aviso pronto (copiar e colar)\n\n\
         > O sistema está só para consulta desde ___:___. A agenda abre normalmente. Novos horários: anotem em papel e confirmem por \
         telefone. Nada do que já foi salvo se perdeu. Próximo aviso às ___:___.\n\n\
         > O sistema voltou às ___:___. Podem salvar normalmente. Lancem agora o que foi anotado em papel.\n",
        contacts(network)
    );
    page("aviso-a-equipe.md".to_owned(), "Se o sistema parar: aviso à equipe".to_owned(), network, &body)
}

fn planned(network: &Network) -> Page {
    let (Some(leader), Some(next)) =
        (network.leader(), network.leader.and_then(|leader| network.successors(leader).into_iter().next()))
    else {
        let body = "Não se troca o líder enquanto não há um, nem quando ele é o único votante. Comece por `maioria-perdida.md`.";
        return page("troca-planejada.md".to_owned(), "Trocar o líder de propósito".to_owned(), network, body);
    };
    let body = format!(
        "Antes de desligar, atualizar ou mover o computador de **{from}**. Ninguém perde nada; as gravações param por menos de um segundo.\n\n\
         ## Quem age\nA operação, em qualquer horário; de preferência fora do pico.\n\n\
         ## Como saber se pode\n```console\n$ plantao status --check\n```\n\
         Saída 0: pode. Com atenção (saída 4) ou sem líder (5), resolva primeiro.\n\n\
         ## O que fazer\n```console\n$ plantao switchover --expect-leader {from} --to {to} --reason manutencao\n```\n\
         O plano aparece antes da pergunta. A rede recusa se {to} não estiver em dia ou não responder.\n\n\
         ## Como validar\n```console\n$ plantao status\n$ plantao history -n 1\n$ plantao digest\n```\n\
         {to} lidera, todos em dia, `history` mostra a troca e a pausa, `digest` diz que os nós são iguais. Peça a uma unidade que marque e cancele um horário de teste.\n\n\
         ## Como voltar\n```console\n$ plantao switchover --expect-leader {to} --to {from} --reason retorno\n```\n\
         Se a liderança tem um lugar (`plantao node prefer {from}`), basta `plantao failback --reason retorno`.\n",
        from = leader.name,
        to = next.name
    );
    page("troca-planejada.md".to_owned(), "Trocar o líder de propósito".to_owned(), network, &body)
}

fn lost(network: &Network, place: &Place) -> Page {
    let leads = Some(place.number) == network.leader;
    let next = network.successors(place.number);
    let left = next.len();
    let enough = left >= network.majority();
    let happens = match (leads, place.votes, enough) {
        (_, _, false) => {
            "Sem ele não há maioria: **nada mais é gravado** até ele voltar. A agenda continua legível.".to_owned()
        }
        (true, _, true) => format!(
            "Ele lidera. **{}** assume sozinho em até três segundos; nada do que foi confirmado se perde.",
            names(&next)
        ),
        (false, true, true) => "A rede segue gravando sem ele; ninguém precisa assumir.".to_owned(),
        (false, false, true) => "Ele não vota: a rede segue como antes, com uma cópia a menos.".to_owned(),
    };
    let copies = if place.keyed {
        "As fotos que só ele e outro guardavam continuam no outro."
    } else {
        "Enquanto ele está fora **não há cópia externa nova**: um incêndio agora custaria o que veio depois. Tem pressa."
    };
    let off_site = if place.keyed { "" } else { " --off-site" };
    let body = format!(
        "{} em **{}** ({}), mídia {}, endereço {}.\n\n\
         ## Quem age\nQuem está no local liga e olha; a operação decide.\n\n{}\n\
         ## Como saber\n```console\n$ plantao status\n```\n\
         {} aparece \"sem resposta\".\n\n\
         ## O que acontece sozinho\n{happens} Restam {left} de {} votantes; depois disso suporta perder {}. {copies}\n\n\
         ## O que fazer\n\
         1. Computador desligado: ligue. O serviço inicia junto, confere os arquivos e se atualiza sozinho.\n\
         2. Ligado: `systemctl status plantaod` e `journalctl -u plantaod -n 50` nele. O código PLT do log: `plantao explain PLT-2101`.\n\
         3. Linha caída: o comando que `plantao status` mostra; depois a operadora de internet.\n\
         4. Disco ou computador perdido de vez: **nunca** restaure uma cópia do diretório e nunca reuse a identidade. Prepare outro computador e\n   \
         entre como nó novo (manual, install.md, passo 4):\n\n\
         ```console\n$ plantao token create{off_site} --hours 2\n```\n\n\
         ## Como validar\n```console\n$ plantao status --check\n$ plantao digest --wait 60\n$ plantao compliance 321\n```\n\
         As três com saída 0: todos em dia, iguais, e três cópias provadas.\n\n\
         ## Como voltar\n{}\n",
        capital(kind(place)),
        place.site,
        place.country,
        place.medium,
        place.address,
        contacts(network),
        place.name,
        network.voters(),
        if enough { spare(left, network.majority()) } else { "nenhum votante".to_owned() },
        match (leads, next.first()) {
            (true, Some(next)) if enough => format!(
                "Se {name} deve liderar de novo e não o fez sozinho em alguns minutos:\n\
                 ```console\n$ plantao switchover --expect-leader {next} --to {name} --reason retorno\n```\n\
                 Se a liderança pertence a ele (`plantao node prefer {name}`): `plantao failback --reason retorno`.",
                name = place.name,
                next = next.name
            ),
            _ => "Nada a fazer: ele volta ao seu papel sozinho.".to_owned(),
        },
    );
    page(format!("queda-{}.md", place.name), format!("Parou {}", place.name), network, &body)
}

fn capital(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map(|first| first.to_uppercase().collect::<String>() + chars.as_str()).unwrap_or_default()
}

fn majority(network: &Network) -> Page {
    let voters: Vec<&Place> = network.places.iter().filter(|place| place.votes).collect();
    let list: String = voters.iter().map(|place| format!("- {} ({})\n", place.name, place.site)).collect();
    let body = format!(
        "São {} votantes; com menos de {} funcionando nada é gravado. A agenda continua legível em cada nó que funciona.\n\n{list}\n\
         ## Quem age\nDuas pessoas: a operação e quem responde pela rede. Nenhuma sozinha.\n\n{}\n\
         ## Como saber\n```console\n$ plantao status --stale\n```\n\
         \"SEM QUÓRUM\". Avise as unidades (`aviso-a-equipe.md`) antes de continuar.\n\n\
         ## O que fazer\n\
         1. **Traga votantes de volta.** Basta chegar a {}: ligar um computador ou religar uma linha resolve sem perda alguma. Espere por isso \
         enquanto houver esperança: a clínica funciona em papel, e nada se perde.\n\
         2. Só se os outros se perderam de vez (incêndio, furto, discos mortos), e as duas pessoas concordam: a recuperação de quórum do \
         manual (`docs/operations`), no sobrevivente mais novo. Ela **pode perder o que foi confirmado por último** e diz quanto antes de agir.\n\
         3. Antes dela, guarde os discos dos nós perdidos, se existem: não os apague e **não os ligue depois**.\n\n\
         ## Como validar\n```console\n$ plantao status\n$ plantao digest\n$ plantao audit verify\n```\n\
         Há líder, os nós são iguais, a trilha está íntegra. Depois do passo 2, `plantao history` \
         mostra desde que instante algo pode ter se perdido: confira com cada unidade os horários marcados a partir dali.\n\n\
         ## Como voltar\nDo passo 1: nada a desfazer. Do passo 2: **não há volta**; os nós antigos são recusados e entram de novo, como novos.\n",
        network.voters(),
        network.majority(),
        contacts(network),
        network.majority(),
    );
    page("maioria-perdida.md".to_owned(), "Parou a maioria".to_owned(), network, &body)
}
