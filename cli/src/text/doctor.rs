//! What `doctor` says: the subject of each check in both languages, the Portuguese of the nodes' findings (their English
//! comes with them), and both languages of what only the tool can see. A test holds the list to that of the nodes.

use super::Lang;

/// Subject of each check: id, Portuguese, English.
static SUBJECTS: &[(&str, &str, &str)] = &[
    ("D01", "relógios", "clocks"),
    ("D02", "espaço em disco", "disk space"),
    ("D03", "espaço para imagens", "space for images"),
    ("D04", "disco gravável", "writable disk"),
    ("D05", "tipo de disco", "kind of disk"),
    ("D06", "velocidade do disco", "speed of the disk"),
    ("D07", "certificado", "certificate"),
    ("D08", "raízes de confiança", "roots of trust"),
    ("D09", "troca de certificado", "reload of certificates"),
    ("D10", "endereço anunciado", "advertised address"),
    ("D11", "alcance pelos outros", "reached by others"),
    ("D12", "quórum", "quorum"),
    ("D13", "enlaces", "links"),
    ("D14", "chave raiz", "root key"),
    ("D15", "fontes das chaves", "sources of keys"),
    ("D16", "mídia", "medium"),
    ("D17", "diretório de imagens", "directory of images"),
    ("D18", "cópias de imagens", "copies of images"),
    ("D19", "diário de leituras", "journal of reads"),
    ("D20", "instantâneos", "snapshots"),
    ("D21", "memória", "memory"),
    ("D22", "arquivos abertos", "open files"),
    ("D23", "segredos na memória", "secrets in memory"),
    ("D31", "minha credencial", "own credentials"),
    ("D32", "meu relógio", "own clock"),
    ("D33", "endereços", "endpoints"),
    ("D34", "uma só rede", "one network"),
    ("D35", "versões", "versions"),
    ("D36", "número de votantes", "number of voters"),
    ("D37", "locais e mídias", "places and media"),
];

/// What a check is about.
pub(crate) fn subject(lang: Lang, id: &str) -> &'static str {
    let found = SUBJECTS.iter().find(|(of, ..)| *of == id);
    found.map_or("", |(_, pt_br, en)| if lang == Lang::PtBr { pt_br } else { en })
}

/// Check, case, what was seen, what to do: the nodes' findings in Portuguese.
static OF_NODES: &[(&str, &str, &str, &str)] = &[
    ("D01", "ok", "os relógios de {0} nós diferem no máximo {1} ms", ""),
    (
        "D01",
        "off",
        "o relógio de {0} difere em {1} ms; toleram-se {2} ms",
        "confira o serviço de hora dos dois: timedatectl timesync-status",
    ),
    (
        "D01",
        "drifts",
        "o relógio de {0} difere em {1} ms",
        "confira o serviço de hora dos dois: timedatectl timesync-status",
    ),
    ("D01", "unknown", "nenhum outro relógio foi ouvido no último minuto", "veja os enlaces: plantao status"),
    ("D02", "ok", "{0} % do disco de dados livres ({1})", ""),
    (
        "D02",
        "low",
        "só {0} % do disco de dados livres ({1})",
        "libere espaço, ou mude o diretório de dados para um disco maior",
    ),
    (
        "D02",
        "out",
        "só {0} % do disco de dados livres ({1}): cheio, não se grava mais",
        "libere espaço já, ou mude o diretório de dados para um disco maior",
    ),
    ("D02", "unknown", "não foi possível ver o disco de dados: {0}", "confira a montagem e as permissões"),
    ("D03", "ok", "{0} livres no disco de imagens, {1} de reserva", ""),
    (
        "D03",
        "out",
        "{0} livres no disco de imagens, menos que a reserva de {1}: nenhuma imagem é aceita",
        "libere espaço, ou mude chunks.directory para um disco maior",
    ),
    (
        "D03",
        "low",
        "{0} livres no disco de imagens, perto da reserva de {1}",
        "libere espaço, ou mude chunks.directory para um disco maior",
    ),
    (
        "D03",
        "unknown",
        "não foi possível ver o disco de imagens: {0}",
        "confira chunks.directory, a montagem e as permissões",
    ),
    ("D04", "ok", "o diretório de dados aceita gravação", ""),
    (
        "D04",
        "read-only",
        "o diretório ({0}) está montado só para leitura",
        "procure erros de disco: journalctl -k; conserte o disco e monte-o para gravação",
    ),
    ("D05", "ok", "o diretório de dados está em um disco local", ""),
    (
        "D05",
        "memory",
        "o diretório de dados está em {0}: some quando o computador desliga",
        "mude node.data_dir para um disco; o nó que perdeu o diretório volta como um nó novo",
    ),
    (
        "D05",
        "network",
        "o diretório de dados está em rede ({0}): a gravação pode prometer demais",
        "mude node.data_dir para um disco deste computador",
    ),
    ("D05", "unknown", "não foi possível ver o disco de dados: {0}", "confira a montagem e as permissões"),
    ("D06", "ok", "uma gravação segura leva {0} ms", ""),
    (
        "D06",
        "slow",
        "uma gravação segura leva {0} ms: cada agendamento espera por ela",
        "veja a carga e a saúde do disco; o registro pede um SSD com proteção contra queda de energia",
    ),
    ("D06", "failed", "uma gravação segura falha: {0}", "procure erros de disco: journalctl -k"),
    ("D07", "ok", "o certificado vale por mais {0} dias", ""),
    (
        "D07",
        "due",
        "o certificado vence em {0} dias, e resta menos de um terço da vida dele",
        "plantao pki renew onde fica a autoridade",
    ),
    ("D07", "ends", "o certificado vence em {0} dias", "plantao pki renew onde fica a autoridade, hoje"),
    (
        "D07",
        "over",
        "o certificado venceu: os outros nós recusam este",
        "plantao pki renew onde fica a autoridade, agora",
    ),
    ("D08", "ok", "{0} raízes, a última vale por mais {1} dias", ""),
    ("D08", "end", "a última raiz vence em {0} dias", "crie uma nova autoridade ao lado da antiga e distribua-a"),
    ("D08", "over", "todas as raízes venceram", "crie uma nova autoridade e dê a raiz dela a cada nó"),
    ("D08", "unknown", "não foi possível ler as raízes: {0}", "confira tls.roots"),
    ("D09", "ok", "os arquivos de certificado são os que estão em uso", ""),
    (
        "D09",
        "failed",
        "os arquivos de certificado não servem: {0}",
        "corrija os arquivos; o nó os toma sozinho, e os antigos seguem em uso",
    ),
    ("D10", "ok", "escuta os nós em {0}, anunciado como {1}", ""),
    (
        "D10",
        "loopback",
        "escuta os nós só em {0}, mas anuncia {1}",
        "ponha em listen.peer um endereço que os outros alcancem",
    ),
    (
        "D10",
        "port",
        "escuta os nós na porta {0}, mas anuncia a porta {1}",
        "certo só com porta redirecionada; senão corrija node.peer_address",
    ),
    ("D11", "ok", "{0} nós alcançam este", ""),
    (
        "D11",
        "not",
        "{0} não alcança este nó, que o alcança",
        "confira node.peer_address aqui e o firewall diante deste nó",
    ),
    ("D11", "unknown", "nenhum outro nó disse a quem alcança", "veja os enlaces: plantao status"),
    ("D12", "ok", "líder {0}; {1} de {2} votantes alcançáveis", ""),
    (
        "D12",
        "edge",
        "{1} de {2} votantes alcançáveis: se mais um cair, nada se grava",
        "traga de volta os votantes que faltam: plantao status os nomeia",
    ),
    (
        "D12",
        "lost",
        "nenhum líder conhecido; {1} de {2} votantes alcançáveis",
        "traga de volta os votantes parados, refaça os enlaces; nunca apague um",
    ),
    ("D13", "ok", "nenhum enlace entre nós está cortado", ""),
    (
        "D13",
        "cut",
        "o enlace {0} → {1} está cortado há {2} s",
        "confira as linhas de internet, a VPN e o firewall entre os dois",
    ),
    ("D14", "ok", "a chave raiz está aberta", ""),
    ("D14", "keyless", "este nó não deve ter chave raiz, e não tem", ""),
    ("D14", "closed", "o nó está lacrado: vota, e não serve conteúdo", "dê a ele a chave do slot raiz e reinicie-o"),
    ("D15", "ok", "{0} fontes de chaves estão onde devem", ""),
    (
        "D15",
        "missing",
        "a fonte da chave de slots.{0} não está lá: a próxima partida falha",
        "monte a mídia dela, e deixe-a montada",
    ),
    (
        "D15",
        "exposed",
        "a fonte da chave de slots.{0} pode ser lida por outros (modo {1})",
        "chmod 600, do usuário do serviço",
    ),
    (
        "D15",
        "with-data",
        "a fonte da chave de slots.{0} está no disco dos dados: roubadas juntas, não protege nada",
        "ponha a chave em outra mídia, ou use uma credencial do systemd",
    ),
    ("D16", "ok", "nenhum outro nó guarda imagens neste disco", ""),
    (
        "D16",
        "shared",
        "{0} guarda imagens no mesmo disco: os dois são uma só cópia",
        "mude um dos dois para outro disco: plantao compliance 321",
    ),
    ("D16", "simulated", "as mídias são simuladas: só para testes", "tire chunks.simulated_media da configuração"),
    ("D16", "other", "a configuração diz {0}, a rede conhece {1}", "reinicie o nó, para que registre o que é"),
    (
        "D16",
        "unknown",
        "a rede ainda não conhece o diretório de imagens deste nó",
        "espere um momento; senão, veja o log dele",
    ),
    ("D17", "ok", "o diretório de imagens está em uso, com {0} blocos", ""),
    (
        "D17",
        "none",
        "o diretório de imagens não pode ser usado: este nó não guarda cópias",
        "veja o motivo no log deste nó, corrija, reinicie o nó",
    ),
    ("D18", "ok", "a verificação mais antiga de uma cópia tem {0} dias", ""),
    (
        "D18",
        "late",
        "a verificação mais antiga de uma cópia tem {0} dias; permitem-se {1}",
        "aumente chunks.scrub_rate",
    ),
    (
        "D18",
        "bad",
        "{0} cópias ruins achadas desde o início, algumas no último dia",
        "procure erros de disco: journalctl -k; troque um disco que continue assim",
    ),
    (
        "D18",
        "no-source",
        "{0} blocos que deveriam estar aqui não estão em nenhum nó que responde",
        "traga de volta os nós ausentes, com os discos deles",
    ),
    ("D19", "ok", "{0} notas de leitura esperam pelo registro", ""),
    ("D19", "waits", "{0} notas de leitura esperam pelo registro", "esperam por um líder: plantao status"),
    ("D19", "broken", "não se consegue gravar o diário de leituras", "procure erros de disco: journalctl -k"),
    ("D20", "ok", "{0} entradas desde o último instantâneo, {1} guardadas no registro", ""),
    (
        "D20",
        "late",
        "{0} entradas desde o último instantâneo; devia haver um a cada {1}",
        "veja no log deste nó por que nenhum é feito",
    ),
    ("D21", "ok", "{0} % da memória disponíveis", ""),
    ("D21", "low", "só {0} % da memória disponíveis", "veja o que mais roda neste computador"),
    ("D21", "unknown", "o sistema não informa a memória", ""),
    ("D22", "ok", "até {0} arquivos abertos", ""),
    ("D22", "few", "só {0} arquivos abertos são permitidos", "ponha LimitNOFILE=65536 na unidade do systemd"),
    ("D23", "ok", "despejos de memória desligados, e nenhuma troca em disco aberta", ""),
    ("D23", "swap", "há troca em disco ({0}): chaves podem ir parar lá", "swapoff, ou cifre-a"),
    ("D23", "dumps", "este processo pode deixar despejos de memória", "inicie o plantaod pela unidade do systemd"),
];

/// A node's finding in Portuguese, with its values: what was seen, what to do. `None`: one of a newer node.
pub(crate) fn of_node(id: &str, case: &str, values: &[String]) -> Option<(String, &'static str)> {
    let (.., seen, help) = OF_NODES.iter().find(|(of, name, ..)| *of == id && *name == case)?;
    Some((filled(seen, values), help))
}

/// What only the tool can see: a check, a case, and both languages of what was seen and what to do.
pub(crate) struct OwnCase {
    pub(crate) id: &'static str,
    pub(crate) name: &'static str,
    seen: (&'static str, &'static str),
    help: (&'static str, &'static str),
}

impl OwnCase {
    /// What was seen, and what to do.
    pub(crate) fn told(&self, lang: Lang, values: &[String]) -> (String, &'static str) {
        let of = |(pt_br, en): (&'static str, &'static str)| if lang == Lang::PtBr { pt_br } else { en };
        (filled(of(self.seen), values), of(self.help))
    }
}

const fn own(
    id: &'static str,
    name: &'static str,
    seen: (&'static str, &'static str),
    help: (&'static str, &'static str),
) -> OwnCase {
    OwnCase { id, name, seen, help }
}

const RENEW: (&str, &str) =
    ("plantao pki renew onde fica a autoridade", "plantao pki renew where the authority is kept");

/// All of them.
static OF_TOOL: &[OwnCase] = &[
    own("D31", "ok", ("{0}: vale por mais {1} dias", "{0}: valid for {1} more days"), ("", "")),
    own("D31", "ends", ("{0}: vence em {1} dias", "{0}: ends in {1} days"), RENEW),
    own(
        "D31",
        "exposed",
        ("{0}: a chave pode ser lida por outros (modo {1})", "{0}: the key can be read by others (mode {1})"),
        ("chmod 600 no arquivo", "chmod 600 on the file"),
    ),
    own("D32", "ok", ("difere {0} ms deste computador", "differs from this computer by {0} ms"), ("", "")),
    own(
        "D32",
        "off",
        ("difere {0} ms deste computador", "differs from this computer by {0} ms"),
        ("confira a hora dos dois: timedatectl", "look at the time of both: timedatectl"),
    ),
    own("D33", "ok", ("{0} de {1} endereços respondem", "{0} of {1} endpoints answer"), ("", "")),
    own(
        "D33",
        "admin-silent",
        ("a porta de administração não responde: {0}", "the admin port does not answer: {0}"),
        (
            "veja aquele computador e o enlace: systemctl status plantaod",
            "look at that computer and its link: systemctl status plantaod",
        ),
    ),
    own(
        "D33",
        "public-silent",
        ("a porta de programas não responde: {0}", "the port for programs does not answer: {0}"),
        ("confira listen.public e o firewall daquele nó", "look at listen.public and the firewall of that node"),
    ),
    own("D34", "ok", ("todos são da rede {0}", "all are of network {0}"), ("", "")),
    own(
        "D34",
        "other",
        ("um nó da rede {0} responde entre os da rede {1}", "a node of network {0} answers among those of network {1}"),
        ("corrija os endereços do contexto", "correct the endpoints of the context"),
    ),
    own(
        "D34",
        "twice",
        ("dois endereços levam ao mesmo nó", "two endpoints lead to the same node"),
        ("corrija os endereços do contexto", "correct the endpoints of the context"),
    ),
    own("D35", "ok", ("todos na versão {0}", "all at version {0}"), ("", "")),
    own(
        "D35",
        "open",
        (
            "todos na versão {0}; a atualização não foi concluída, e a anterior ainda pode voltar",
            "all at version {0}; the upgrade is not finalized, and the one before may still come back",
        ),
        ("", ""),
    ),
    own(
        "D35",
        "skew",
        ("versões diferentes: {0}", "different versions: {0}"),
        (
            "termine a atualização, um nó de cada vez: plantao upgrade status",
            "finish the upgrade, one node at a time: plantao upgrade status",
        ),
    ),
    own("D36", "ok", ("{0} votantes: suporta perder {1}", "{0} voters: {1} may be lost"), ("", "")),
    own(
        "D36",
        "few",
        ("só {0} votantes: a perda de um para as gravações", "only {0} voters: the loss of one stops all writes"),
        ("tenha três ou cinco votantes, em locais diferentes", "have three or five voters, at different sites"),
    ),
    own(
        "D36",
        "even",
        ("{0} votantes: não suporta mais perdas que {1}", "{0} voters: bears no more losses than {1}"),
        ("tenha um número ímpar de votantes", "have an odd number of voters"),
    ),
    own(
        "D36",
        "unknown",
        ("ninguém disse quem vota", "nobody told who votes"),
        ("veja a rede: plantao status", "look at the network: plantao status"),
    ),
    own("D37", "ok", ("votantes em {0} locais, {1} mídias", "voters at {0} sites, on {1} media"), ("", "")),
    own(
        "D37",
        "one-site",
        ("todos os votantes estão no local {0}", "all voters are at site {0}"),
        ("ponha um votante em outro local", "put a voter at another site"),
    ),
    own(
        "D37",
        "one-medium",
        ("todos os votantes gravam em {0}", "all voters write to {0}"),
        (
            "ponha uma cópia em outra mídia: plantao compliance 321",
            "put a copy on another medium: plantao compliance 321",
        ),
    ),
];

/// One of the tool's own cases. `None` is a slip of the code; a test looks for each.
pub(crate) fn of_tool(id: &str, case: &str) -> Option<&'static OwnCase> {
    OF_TOOL.iter().find(|own| own.id == id && own.name == case)
}

fn filled(text: &str, values: &[String]) -> String {
    let mut text = text.to_owned();
    for (at, value) in values.iter().enumerate() {
        text = text.replace(&format!("{{{at}}}"), value);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_case_has_a_subject_and_is_there_once() {
        let ours = OF_TOOL.iter().map(|own| (own.id, own.name));
        let all: Vec<_> = OF_NODES.iter().map(|(id, case, ..)| (*id, *case)).chain(ours).collect();
        for (id, case) in &all {
            assert!(!subject(Lang::PtBr, id).is_empty() && !subject(Lang::En, id).is_empty(), "{id}");
            assert_eq!(all.iter().filter(|one| **one == (*id, *case)).count(), 1, "{id} {case}");
        }
        assert!(SUBJECTS.iter().all(|(id, ..)| all.iter().any(|(of, _)| of == id)));
    }
}
