//! Two examples and the exit codes of every command, for its help page. A test parses each example.

use crate::exit::Exit;

/// Of one command.
pub(crate) struct Examples {
    /// Its words without `plantao`, joined by a space.
    pub(crate) path: &'static str,
    /// Command lines.
    pub(crate) lines: [&'static str; 2],
    /// What it can end with, besides what every command can (1, 2, 130).
    pub(crate) exits: &'static [Exit],
}

const fn of(path: &'static str, first: &'static str, second: &'static str, exits: &'static [Exit]) -> Examples {
    Examples { path, lines: [first, second], exits }
}

use Exit::{Busy, Connect, Degraded, Denied, Done, Failed, GoalNotMet, Integrity, NoLeader, NotFound, Partial};
use Exit::{Interrupted, Refused, Unknown, Usage};

const LOCAL: &[Exit] = &[Done, Failed, Usage];
const PUSH: &[Exit] = &[Done, Failed, Usage, Partial, Refused, Denied, Connect, Interrupted];
const READ: &[Exit] = &[Done, Failed, Usage, NoLeader, NotFound, Denied, Connect];
const IMAGE: &[Exit] = &[Done, Failed, Usage, Partial, NoLeader, NotFound, Denied, Integrity, Connect];
const WRITE: &[Exit] = &[Done, Failed, Usage, NoLeader, Refused, NotFound, Denied, Busy, Connect, Unknown];
const MEMBERS: &[Exit] = &[Done, Failed, Usage, NoLeader, NotFound, Denied, Connect];
const MEMBERS_CHANGE: &[Exit] =
    &[Done, Failed, Usage, NoLeader, Refused, NotFound, Denied, Busy, Connect, Unknown, Interrupted];

const POLICY: &[Exit] = &[Done, Failed, Usage, NoLeader, Refused, NotFound, Denied, Connect, Interrupted];
const MOVE: &[Exit] = &[Done, Failed, Usage, NoLeader, Refused, NotFound, Denied, Connect, Interrupted];

/// All of them.
pub(crate) static EXAMPLES: &[Examples] = &[
    of("", "plantao status", "plantao agenda list --unit centro -o json", &Exit::ALL),
    of(
        "status",
        "plantao status -W",
        "plantao status --check -o json",
        &[Done, Failed, Usage, Degraded, NoLeader, Connect],
    ),
    of("top", "plantao top", "plantao top --stale --lang en", &[Done, Failed, Usage, Connect, Interrupted]),
    of("health", "plantao health", "plantao health -o json", &[Done, Failed, Usage, Degraded, NoLeader, Connect]),
    of("doctor", "plantao doctor", "plantao doctor --all -o json", &[Done, Failed, Usage, Degraded, Connect]),
    of("events", "plantao events", "plantao events -f -o jsonl", &[Done, Failed, Usage, Connect, Interrupted]),
    of(
        "endpoint",
        "plantao endpoint --role leader",
        "plantao endpoint --role reader --plane admin",
        &[Done, Failed, Usage, NoLeader, Denied, Connect],
    ),
    of(
        "switchover",
        "plantao switchover --to jardins --reason 'troca de nobreak'",
        "plantao switchover --expect-leader centro --reason manutencao --yes",
        MOVE,
    ),
    of("switchover cancel", "plantao switchover cancel", "plantao switchover cancel --yes -o json", POLICY),
    of(
        "failover",
        "plantao failover --to jardins --reason 'centro sem resposta'",
        "plantao failover --to jardins --reason 'centro sem resposta' --yes -o json",
        MOVE,
    ),
    of(
        "pause",
        "plantao pause --until 2026-11-24T18:00-03:00",
        "plantao pause --until '2026-11-24 18:00' --reason obra --yes",
        POLICY,
    ),
    of("resume", "plantao resume", "plantao resume --yes -o json", POLICY),
    of("node", "plantao node drain moema", "plantao node prefer centro", POLICY),
    of("node drain", "plantao node drain moema", "plantao node drain moema --reason 'troca de disco' --yes", POLICY),
    of("node undrain", "plantao node undrain moema", "plantao node undrain moema --yes -o json", POLICY),
    of("node prefer", "plantao node prefer centro", "plantao node prefer --none --yes", POLICY),
    of("maintenance", "plantao maintenance start --until '2026-11-24 18:00'", "plantao maintenance stop", POLICY),
    of(
        "maintenance start",
        "plantao maintenance start --until '2026-11-24 18:00'",
        "plantao maintenance start --until 2026-11-24T18:00-03:00 --reason 'novo roteador' --yes",
        POLICY,
    ),
    of("maintenance stop", "plantao maintenance stop", "plantao maintenance stop --yes -o json", POLICY),
    of(
        "failback",
        "plantao failback --reason 'nobreak trocado'",
        "plantao failback --reason 'fim da obra' --yes -o json",
        MOVE,
    ),
    of(
        "history",
        "plantao history -n 20",
        "plantao history --since 2026-11-01T00:00-03:00 -o json",
        &[Done, Failed, Usage, NoLeader, Connect],
    ),
    of(
        "digest",
        "plantao digest",
        "plantao digest --wait 60 -o json",
        &[Done, Failed, Usage, Partial, Integrity, GoalNotMet, Connect],
    ),
    of("quorum", "plantao quorum show", "plantao quorum show -o json", &[Done, Failed, Usage, NoLeader, Connect]),
    of(
        "quorum show",
        "plantao quorum show",
        "plantao quorum show --stale -o json",
        &[Done, Failed, Usage, NoLeader, Connect],
    ),
    of(
        "quorum recover",
        "plantao quorum recover --keep cofre --reason 'fogo nas duas unidades' --dry-run",
        "plantao quorum recover --keep cofre --reason 'fogo nas duas unidades' --confirm estetica-sul",
        MEMBERS_CHANGE,
    ),
    of(
        "copies",
        "plantao copies --patient 0190d1c4-7c1e-7b3a-9f00-000000000001",
        "plantao copies --module images -o json",
        &[Done, Failed, Usage, NotFound, GoalNotMet, Connect],
    ),
    of(
        "compliance",
        "plantao compliance 321",
        "plantao compliance 321 -o json",
        &[Done, Failed, Usage, GoalNotMet, Connect],
    ),
    of(
        "compliance 321",
        "plantao compliance 321",
        "plantao compliance 321 --report prova.json --sign relatorio.key",
        &[Done, Failed, Usage, GoalNotMet, Connect],
    ),
    of(
        "watch",
        "plantao watch --unit centro --module agenda",
        "plantao watch --from 1200 -o jsonl",
        &[Done, Failed, Usage, NoLeader, NotFound, Denied, Connect, Interrupted],
    ),
    of(
        "import",
        "plantao import ./clinica",
        "plantao import ./clinica --read-back -o json",
        &[Done, Failed, Usage, Partial, NoLeader, Denied, Integrity, GoalNotMet, Connect],
    ),
    of(
        "bench",
        "plantao bench write --clients 64 --seconds 10 --value-bytes 256",
        "plantao bench image-put --clients 8 --bytes 4000000 --seconds 10 -o json",
        &[Done, Failed, Usage, Partial, Connect],
    ),
    of("patient", "plantao patient list", "plantao patient find --name maria", READ),
    of("patient list", "plantao patient list", "plantao patient list -o tsv --stale", READ),
    of("patient get", "plantao patient get 875ac127", "plantao patient get 875ac127 --version 1 -o json", READ),
    of("patient find", "plantao patient find --cpf -", "plantao patient find --name maria", READ),
    of(
        "patient register",
        "plantao patient register --unit centro --from paciente.json",
        "plantao patient register --unit centro --name 'Maria Teste' --birth-date 1980-02-29",
        WRITE,
    ),
    of(
        "patient amend",
        "plantao patient amend 875ac127 --seen-version 1 --from paciente.json",
        "plantao patient amend 875ac127 --seen-version 1 --from - -o json",
        WRITE,
    ),
    of(
        "agenda",
        "plantao agenda list --unit centro",
        "plantao agenda list --room centro-sala-1 --day 2026-11-24",
        READ,
    ),
    of(
        "agenda list",
        "plantao agenda list --unit centro --day 2026-11-24",
        "plantao agenda list --practitioner centro-prof-1 --from '2026-11-24 08:00' --to '2026-11-24 12:00'",
        READ,
    ),
    of(
        "agenda get",
        "plantao agenda get 875ac127-ec8a-41b8-bb68-0c2161c61913",
        "plantao agenda get consulta-17 --content",
        READ,
    ),
    of(
        "agenda book",
        "plantao agenda book --patient 875ac127 --unit centro --practitioner centro-prof-1 --room centro-sala-1 \
         --start '2026-11-24 14:45' --end '2026-11-24 15:30'",
        "plantao agenda book --patient 875ac127 --unit centro --practitioner centro-prof-1 --room centro-sala-1 \
         --start 2026-11-24T14:45-03:00 --end 2026-11-24T15:00-03:00 --encaixe 'dor aguda'",
        WRITE,
    ),
    of(
        "agenda move",
        "plantao agenda move consulta-17 --seen-version 1 --unit centro --practitioner centro-prof-1 \
         --room centro-sala-2 --start '2026-11-24 16:00' --end '2026-11-24 16:45'",
        "plantao agenda move consulta-17 --seen-version 1 --unit centro --practitioner centro-prof-2 \
         --room centro-sala-1 --start '2026-11-25 09:00' --end '2026-11-25 09:45' -o json",
        WRITE,
    ),
    of(
        "agenda arrive",
        "plantao agenda arrive consulta-17 --seen-version 1",
        "plantao agenda arrive consulta-17 --seen-version 1 -o json",
        WRITE,
    ),
    of(
        "agenda close",
        "plantao agenda close consulta-17 --seen-version 2",
        "plantao agenda close consulta-17 --seen-version 2 -o json",
        WRITE,
    ),
    of(
        "agenda cancel",
        "plantao agenda cancel consulta-17 --seen-version 1 --reason 'a pedido'",
        "plantao agenda cancel consulta-17 --seen-version 1 --request-id 019abb1e-7400-7abc-8def-0123456789ab",
        WRITE,
    ),
    of(
        "agenda no-show",
        "plantao agenda no-show consulta-17 --seen-version 1",
        "plantao agenda no-show consulta-17 --seen-version 1 -q",
        WRITE,
    ),
    of(
        "image",
        "plantao image list --patient 875ac127",
        "plantao image put ./fotos --patient 875ac127 --consent f4aea53d",
        IMAGE,
    ),
    of(
        "image put",
        "plantao image put ./fotos --patient 875ac127 --consent f4aea53d --kind before",
        "plantao image put exame.dcm --patient 875ac127 --consent f4aea53d --kind exam --visit consulta-17 -o json",
        &[Done, Failed, Usage, Partial, NoLeader, Refused, NotFound, Denied, GoalNotMet, Busy, Connect, Unknown],
    ),
    of(
        "image get",
        "plantao image get 5b1c8a52-7d0e-4c55-9a0c-0c2161c61913 --out ./fotos",
        "plantao image get 5b1c8a52-7d0e-4c55-9a0c-0c2161c61913 --out - --range 0-1023",
        IMAGE,
    ),
    of(
        "image list",
        "plantao image list --patient 875ac127 --newest-first",
        "plantao image list --patient 875ac127 -o jsonl",
        READ,
    ),
    of(
        "image show",
        "plantao image show 5b1c8a52-7d0e-4c55-9a0c-0c2161c61913",
        "plantao image show 5b1c8a52-7d0e-4c55-9a0c-0c2161c61913 -o json",
        READ,
    ),
    of(
        "image verify",
        "plantao image verify 5b1c8a52-7d0e-4c55-9a0c-0c2161c61913",
        "plantao image verify 5b1c8a52-7d0e-4c55-9a0c-0c2161c61913 --endpoint 10.0.0.2:7101 -o json",
        IMAGE,
    ),
    of("record", "plantao record list --patient 875ac127", "plantao record get exame-9 --raw", READ),
    of(
        "record list",
        "plantao record list --patient 875ac127",
        "plantao record list --patient 875ac127 --newest-first -o jsonl",
        READ,
    ),
    of(
        "record get",
        "plantao record get 875ac127-ec8a-41b8-bb68-0c2161c61913",
        "plantao record get exame-9 --version 1 --raw",
        READ,
    ),
    of(
        "record add",
        "plantao record add --patient 875ac127 --unit centro --kind Observation --document exame.json",
        "plantao record add --patient 875ac127 --unit centro --kind Observation --document - --id exame-9",
        WRITE,
    ),
    of(
        "record amend",
        "plantao record amend exame-9 --seen-version 1 --reason 'lado trocado' --document exame.json",
        "plantao record amend exame-9 --seen-version 1 --reason 'lado trocado' --document - -o json",
        WRITE,
    ),
    of("consent", "plantao consent list --patient 875ac127", "plantao consent get termo-3 --raw", READ),
    of(
        "consent list",
        "plantao consent list --patient 875ac127",
        "plantao consent list --patient 875ac127 -o json",
        READ,
    ),
    of("consent get", "plantao consent get termo-3", "plantao consent get termo-3 --raw", READ),
    of(
        "consent grant",
        "plantao consent grant --patient 875ac127 --unit centro --purpose treatment --from '2026-11-21 09:00' \
         --document termo.pdf",
        "plantao consent grant --patient 875ac127 --unit centro --purpose treatment,clinical-images \
         --from '2026-11-21 09:00' --until '2027-11-21 09:00' --document termo.pdf --id termo-3",
        WRITE,
    ),
    of(
        "consent revoke",
        "plantao consent revoke termo-3 --seen-version 1 --reason 'a pedido'",
        "plantao consent revoke termo-3 --seen-version 1 --reason 'a pedido' -o json",
        WRITE,
    ),
    of("unit", "plantao unit list", "plantao unit list -o json", READ),
    of("unit list", "plantao unit list", "plantao unit list -o wide", READ),
    of("practitioner", "plantao practitioner list", "plantao practitioner list --unit centro", READ),
    of("practitioner list", "plantao practitioner list", "plantao practitioner list --unit centro -o tsv", READ),
    of("room", "plantao room list", "plantao room list --unit centro", READ),
    of("room list", "plantao room list", "plantao room list --unit centro -o json", READ),
    of(
        "audit",
        "plantao audit list --limit 20",
        "plantao audit verify",
        &[Done, Failed, Usage, NoLeader, NotFound, Denied, Integrity, Connect],
    ),
    of(
        "audit list",
        "plantao audit list --patient 875ac127",
        "plantao audit list --module records --from 1 --limit 500 -o jsonl",
        READ,
    ),
    of(
        "audit verify",
        "plantao audit verify",
        "plantao audit verify --stale -o json",
        &[Done, Failed, Usage, NoLeader, Denied, Integrity, Connect],
    ),
    of(
        "pki",
        "plantao pki init --dir ./autoridade --network estetica-sul",
        "plantao pki list --dir ./autoridade",
        LOCAL,
    ),
    of(
        "pki init",
        "plantao pki init --dir ./autoridade --network estetica-sul",
        "plantao pki init --dir /media/cofre/autoridade --network estetica-sul -o json",
        LOCAL,
    ),
    of(
        "pki issue",
        "plantao pki issue --dir ./autoridade --out ./centro --node 1 --host 10.0.0.1",
        "plantao pki issue --dir ./autoridade --out ./balcao --name balcao-1 --role reception --unit centro",
        LOCAL,
    ),
    of(
        "pki renew",
        "plantao pki renew --dir ./autoridade --out ./centro node-1",
        "plantao pki renew --dir ./autoridade --nodes --window 02:00-05:00 --yes",
        PUSH,
    ),
    of(
        "pki report-key",
        "plantao pki report-key relatorio.key",
        "plantao pki report-key /media/chave/relatorio.key -o json",
        LOCAL,
    ),
    of("pki list", "plantao pki list --dir ./autoridade", "plantao pki list --dir ./autoridade --due -o json", LOCAL),
    of(
        "pki revoke",
        "plantao pki revoke --dir ./autoridade unit/centro/reception/balcao-1 --reason key-compromise --push",
        "plantao pki revoke --dir ./autoridade 4f3a91c2 --reason superseded --yes",
        PUSH,
    ),
    of(
        "pki crl",
        "plantao pki crl --dir ./autoridade --out revoked.pem",
        "plantao pki crl --dir ./autoridade --push -o json",
        PUSH,
    ),
    of(
        "pki rotate-ca",
        "plantao pki rotate-ca start --dir ./autoridade",
        "plantao pki rotate-ca finish --dir ./autoridade",
        PUSH,
    ),
    of(
        "pki rotate-ca start",
        "plantao pki rotate-ca start --dir ./autoridade",
        "plantao pki rotate-ca start --dir ./autoridade --yes -o json",
        PUSH,
    ),
    of(
        "pki rotate-ca switch",
        "plantao pki rotate-ca switch --dir ./autoridade",
        "plantao pki rotate-ca switch --dir ./autoridade --yes -o json",
        PUSH,
    ),
    of(
        "pki rotate-ca finish",
        "plantao pki rotate-ca finish --dir ./autoridade",
        "plantao pki rotate-ca finish --dir ./autoridade --leave-behind --yes",
        PUSH,
    ),
    of("member", "plantao member list", "plantao member show moema", MEMBERS),
    of("member list", "plantao member list", "plantao member list --all -o json", MEMBERS),
    of("member show", "plantao member show moema", "plantao member show 4 -o json", MEMBERS),
    of(
        "member add",
        "plantao member add --voter",
        "plantao member add --off-site --hours 24 --yes -o json",
        MEMBERS_CHANGE,
    ),
    of("member stage", "plantao member stage promote moema", "plantao member stage remove jardins", MEMBERS_CHANGE),
    of(
        "member stage promote",
        "plantao member stage promote moema pinheiros",
        "plantao member stage promote 4 -o json",
        MEMBERS_CHANGE,
    ),
    of("member stage demote", "plantao member stage demote jardins", "plantao member stage demote 2 3", MEMBERS_CHANGE),
    of(
        "member stage remove",
        "plantao member stage remove jardins",
        "plantao member stage remove 2 -o json",
        MEMBERS_CHANGE,
    ),
    of("member diff", "plantao member diff", "plantao member diff -o json", MEMBERS),
    of(
        "member apply",
        "plantao member apply --version 4 --reason 'rede cresce'",
        "plantao member apply --version 4 --reason 'rede cresce' --yes --timeout 300",
        MEMBERS_CHANGE,
    ),
    of("member revert", "plantao member revert", "plantao member revert --yes", MEMBERS_CHANGE),
    of(
        "member promote",
        "plantao member promote moema --reason 'terceira unidade'",
        "plantao member promote 4 --reason 'terceira unidade' --yes",
        MEMBERS_CHANGE,
    ),
    of(
        "member demote",
        "plantao member demote jardins --reason 'enlace ruim'",
        "plantao member demote 2 --reason 'enlace ruim' --yes",
        MEMBERS_CHANGE,
    ),
    of(
        "member replace",
        "plantao member replace jardins --with moema --reason 'disco queimado'",
        "plantao member replace jardins --reason 'disco queimado' --confirm jardins",
        MEMBERS_CHANGE,
    ),
    of(
        "member remove",
        "plantao member remove jardins --reason 'unidade fechou'",
        "plantao member remove jardins --reason 'unidade fechou' --confirm jardins",
        MEMBERS_CHANGE,
    ),
    of(
        "member reinit",
        "plantao member reinit jardins --reason 'disco trocado'",
        "plantao member reinit jardins --reason 'disco trocado' --confirm jardins -o json",
        MEMBERS_CHANGE,
    ),
    of("upgrade", "plantao upgrade status", "plantao upgrade finalize --reason 'todos na 0.2.0'", MEMBERS_CHANGE),
    of("upgrade status", "plantao upgrade status", "plantao upgrade status --stale -o json", MEMBERS),
    of(
        "upgrade finalize",
        "plantao upgrade finalize --reason 'todos na 0.2.0' --dry-run",
        "plantao upgrade finalize --reason 'todos na 0.2.0' --confirm estetica-sul",
        MEMBERS_CHANGE,
    ),
    of(
        "token",
        "plantao token create",
        "plantao token create --off-site --yes",
        &[Done, Failed, Usage, NoLeader, Denied, Connect, Interrupted],
    ),
    of(
        "token create",
        "plantao token create --hours 2",
        "plantao token create --off-site --yes -o json",
        &[Done, Failed, Usage, NoLeader, Denied, Connect, Interrupted],
    ),
    of("context", "plantao context list", "plantao context use demo", LOCAL),
    of("context list", "plantao context list", "plantao context list -o json", LOCAL),
    of("context use", "plantao context use demo", "plantao context use producao", LOCAL),
    of(
        "context add",
        "plantao context add demo --cluster demo --endpoint 127.0.0.1:7101 --ca ca.crt --cert op.crt --key op.key",
        "plantao context add producao --label PRODUÇÃO --cluster estetica-sul --endpoint 10.0.0.1:7101,10.0.0.2:7101 \
         --admin-endpoint 10.0.0.1:7201,10.0.0.2:7201 --ca ca.crt --cert op.crt --key op.key",
        LOCAL,
    ),
    of("context rm", "plantao context rm demo", "plantao context rm demo -q", LOCAL),
    of("context show", "plantao context show", "plantao context show demo -o json", LOCAL),
    of("completion", "plantao completion bash", "plantao completion zsh --lang en", LOCAL),
    of(
        "runbook",
        "plantao runbook --out ./roteiros --contact 'Operação: 11 5555-0100'",
        "plantao runbook -o json",
        &[Done, Failed, Usage, NoLeader, Connect],
    ),
    of("man", "plantao man --out ./man", "plantao man --out ./man --force --lang en", LOCAL),
    of("explain", "plantao explain PLT-1204", "plantao explain PlantaoNoLeader --lang en", LOCAL),
    of("version", "plantao version", "plantao version -o json", LOCAL),
];
