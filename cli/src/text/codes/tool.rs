//! The codes of this tool, from 9001 on: what goes wrong before a node is asked, or after it answered. Each says what a
//! command ends with.

use super::Code;
use crate::exit::Exit;

const fn ours(number: u32, exit: Exit, pt_br: (&'static str, &'static str), en: (&'static str, &'static str)) -> Code {
    Code { number, exit: Some(exit), pt_br, en }
}

/// In order.
pub(super) static CODES: &[Code] = &[
    ours(
        9001,
        Exit::Usage,
        ("nenhuma rede escolhida", "use um contexto: plantao context add, ou dê as opções globais"),
        ("no network chosen", "use a context: plantao context add, or give the global options"),
    ),
    ours(
        9002,
        Exit::Usage,
        ("não há esse contexto", "veja quais há: plantao context list"),
        ("no such context", "see which there are: plantao context list"),
    ),
    ours(
        9003,
        Exit::Usage,
        ("o arquivo de contextos não pode ser usado", "corrija o arquivo; ele está onde diz --config"),
        ("the contexts file cannot be used", "correct the file; it is where --config says"),
    ),
    ours(
        9004,
        Exit::Connect,
        (
            "o certificado, a chave ou as raízes não podem ser usados",
            "confira os três arquivos e, se venceu, renove: plantao pki renew",
        ),
        (
            "certificate, key or roots cannot be used",
            "check the three files and, if it ended, renew: plantao pki renew",
        ),
    ),
    ours(
        9005,
        Exit::Usage,
        ("isto precisa de confirmação, e não há terminal para perguntar", "acrescente --yes"),
        ("this needs a confirmation, and there is no terminal to ask on", "add --yes"),
    ),
    ours(
        9006,
        Exit::Interrupted,
        ("não confirmado, nada foi feito", "repita e responda s, ou acrescente --yes"),
        ("not confirmed, nothing was done", "repeat it and answer y, or add --yes"),
    ),
    ours(
        9007,
        Exit::Usage,
        ("isto não é um id", "dê um UUID, um rótulo como centro-prof-1, ou o começo de um id"),
        ("this is no id", "give a UUID, a label such as centro-prof-1, or the beginning of an id"),
    ),
    ours(
        9008,
        Exit::NotFound,
        ("há mais de um com esse começo", "dê mais dígitos do id"),
        ("more than one begins like this", "give more digits of the id"),
    ),
    ours(
        9009,
        Exit::NotFound,
        ("não encontrado", "confira o id; as listas mostram os que há"),
        ("not found", "check the id; the lists show which there are"),
    ),
    ours(
        9010,
        Exit::Usage,
        (
            "isto não é um horário com um só sentido",
            "dê 2026-11-24 14:45 no fuso da unidade, ou RFC 3339 com deslocamento",
        ),
        ("this is no time with one meaning", "give 2026-11-24 14:45 in the unit's zone, or RFC 3339 with an offset"),
    ),
    ours(
        9011,
        Exit::Usage,
        ("fuso horário desconhecido", "dê um nome como America/Sao_Paulo"),
        ("unknown time zone", "give a name such as America/Sao_Paulo"),
    ),
    ours(
        9012,
        Exit::Usage,
        ("um valor não pode ser usado", "veja a ajuda do comando: --help"),
        ("a value cannot be used", "see the help of the command: --help"),
    ),
    ours(
        9013,
        Exit::Refused,
        ("o prazo deste pedido acabou", "leia o objeto para saber se foi feito; se não, faça um pedido novo"),
        ("the time of this request is over", "read the object to see whether it was done; if not, make a new request"),
    ),
    ours(
        9014,
        Exit::Failed,
        ("não foi possível ler o arquivo", "confira o caminho, o tamanho e as permissões"),
        ("cannot read the file", "check path, size and permissions"),
    ),
    ours(
        9015,
        Exit::Connect,
        ("nenhum nó pôde ser alcançado", "confira os endereços e a rede: plantao context show"),
        ("no node can be reached", "check the addresses and the network: plantao context show"),
    ),
    ours(
        9016,
        Exit::Denied,
        ("a rede não permite isto a esta identidade", "use outra identidade: --cert e --key, ou outro contexto"),
        ("the cluster does not allow this identity to do this", "use another identity: --cert and --key, or a context"),
    ),
    ours(
        9017,
        Exit::NoLeader,
        (
            "a rede não pode fazer isto agora; nada foi feito",
            "veja a rede: plantao status; leituras seguem com --stale",
        ),
        ("the cluster cannot do this now; nothing was done", "look at it: plantao status; reads go on with --stale"),
    ),
    ours(
        9018,
        Exit::Usage,
        ("a rede não aceita um pedido assim", "corrija o valor que a mensagem aponta"),
        ("the cluster does not take such a request", "correct the value that the message names"),
    ),
    ours(
        9019,
        Exit::Failed,
        ("a resposta não pode ser entendida", "use a mesma versão da ferramenta e dos nós: plantao version"),
        ("the answer cannot be understood", "use the same version of this tool and of the nodes: plantao version"),
    ),
    ours(
        9020,
        Exit::Unknown,
        (
            "resultado desconhecido: pode ter sido feito",
            "repita com o mesmo --request-id e --not-after; depois do prazo, leia o objeto",
        ),
        (
            "outcome unknown: it may have been done",
            "repeat with the same --request-id and --not-after; when that time is over, read the object",
        ),
    ),
    ours(
        9021,
        Exit::Partial,
        ("mantido, mas outro agendamento ocupa o horário", "resolva o conflito: mova ou cancele um dos dois"),
        ("kept, but another booking holds the slot", "solve the conflict: move or cancel one of the two"),
    ),
    ours(
        9022,
        Exit::Refused,
        ("outro nó lidera; nada foi feito", "veja quem lidera: plantao status"),
        ("another node leads; nothing was done", "see which one leads: plantao status"),
    ),
    ours(
        9023,
        Exit::NoLeader,
        ("nenhum nó lidera", "religue um nó parado e veja a rede: plantao status -W"),
        ("no node leads", "bring a stopped node back and look: plantao status -W"),
    ),
    ours(
        9024,
        Exit::Integrity,
        ("cópias diferem no mesmo índice", "não desligue nada; guarde a saída de -o json e avise quem mantém a rede"),
        (
            "copies differ at the same index",
            "switch nothing off; keep the output of -o json and tell who maintains the network",
        ),
    ),
    ours(
        9025,
        Exit::Integrity,
        ("a trilha de auditoria está quebrada na entrada", "compare com os outros nós: --endpoint ENDEREÇO"),
        ("the audit trail is broken at entry", "compare with the other nodes: --endpoint ADDRESS"),
    ),
    ours(
        9026,
        Exit::Integrity,
        ("documentos relidos diferem dos arquivos", "veja o relatório: -o json"),
        ("documents read back differ from the files", "see the report: -o json"),
    ),
    ours(
        9027,
        Exit::Failed,
        ("essas mudanças já não são guardadas", "liste de novo e depois acompanhe"),
        ("these changes are not kept any more", "list afresh, then watch"),
    ),
    ours(
        9028,
        Exit::Failed,
        ("a autoridade recusou", "confira o diretório e os valores: plantao pki list"),
        ("the authority refuses", "check the directory and the values: plantao pki list"),
    ),
    ours(
        9029,
        Exit::Usage,
        ("não há esse código nem esse alerta", "dê um código como PLT-1204, ou um alerta como PlantaoNoLeader"),
        ("no such code, and no such alert", "give a code such as PLT-1204, or an alert such as PlantaoNoLeader"),
    ),
    ours(
        9030,
        Exit::Failed,
        ("não foi possível escrever a saída", "confira o disco e o destino"),
        ("cannot write the output", "check the disk and the destination"),
    ),
    ours(
        9031,
        Exit::Failed,
        ("o trabalho falhou", "veja o motivo acima e repita"),
        ("the work failed", "see the reason and repeat it"),
    ),
    ours(
        9032,
        Exit::Interrupted,
        ("interrompido", "o que foi confirmado fica; veja antes de repetir"),
        ("interrupted", "what was confirmed stays; look before you repeat"),
    ),
    ours(
        9033,
        Exit::Usage,
        ("a linha de comando não foi entendida", "veja a ajuda do comando: --help"),
        ("the command line was not understood", "see the help of the command: --help"),
    ),
    ours(
        9034,
        Exit::Failed,
        ("não é possível gravar", "veja o destino e o disco; --force substitui um arquivo que já existe"),
        ("cannot write", "check the destination and the disk; --force replaces a file that is there"),
    ),
    ours(
        9035,
        Exit::GoalNotMet,
        (
            "a imagem foi enviada, mas ainda não está em dois locais",
            "repita o comando: continua de onde parou; plantao status mostra que local falta",
        ),
        (
            "the image is sent, and not on two sites yet",
            "repeat the command: it goes on where it is; plantao status shows which site is missing",
        ),
    ),
    ours(
        9036,
        Exit::Integrity,
        (
            "uma imagem, ou uma cópia dela, está danificada",
            "leia de outro nó, com --endpoint; o reparo busca uma cópia boa sozinho: plantao image verify",
        ),
        (
            "an image, or a copy of it, is damaged",
            "read it from another node, with --endpoint; repair fetches a good copy by itself: plantao image verify",
        ),
    ),
    ours(
        9040,
        Exit::Usage,
        ("falta o motivo", "diga por quê, sem nome de pessoa: --reason TEXTO"),
        ("a reason is needed", "say why, without the name of a person: --reason TEXT"),
    ),
    ours(
        9050,
        Exit::Unknown,
        (
            "a mudança de membros foi aceita e continua em andamento",
            "siga os passos: plantao member diff; não repita o comando",
        ),
        (
            "the change of members is accepted and still under way",
            "follow its steps: plantao member diff; do not repeat it",
        ),
    ),
    ours(
        9051,
        Exit::Refused,
        ("o nome dado não é o do nó", "confira qual nó é e dê o nome dele em --confirm: plantao member list"),
        ("this is not the node's name", "check which node it is and give its name to --confirm: plantao member list"),
    ),
    ours(
        9052,
        Exit::Refused,
        ("o nome dado não é o da rede", "confira qual rede é e dê o nome dela em --confirm: plantao status"),
        ("this is not the network's name", "check which network it is and give its name to --confirm: plantao status"),
    ),
    ours(
        9053,
        Exit::Unknown,
        (
            "a recuperação foi aceita, e o nó ainda não voltou",
            "veja se a encarnação dele subiu: plantao status --stale; se não, o log dele diz por quê",
        ),
        (
            "the recovery is accepted, and the node is not back yet",
            "look whether its incarnation rose: plantao status --stale; its log says why if not",
        ),
    ),
    ours(
        9060,
        Exit::Usage,
        (
            "isto precisa de um terminal",
            "sem terminal, ou para um programa: plantao status -W, ou plantao status -o json",
        ),
        ("this needs a terminal", "without one, or for a program: plantao status -W, or plantao status -o json"),
    ),
    ours(
        9090,
        Exit::Refused,
        (
            "não é hora de mexer em certificados",
            "espere até todos os nós responderem e haver um líder: plantao status; o prazo tem folga",
        ),
        (
            "this is not the moment to touch certificates",
            "wait until every node answers and one leads: plantao status; there is time left",
        ),
    ),
    ours(
        9091,
        Exit::Partial,
        ("nem todos os nós aceitaram", "corrija o que o nó diz e repita o comando: o que já foi feito não muda"),
        ("not every node took it", "mend what the node says and repeat the command: what is done stays as it is"),
    ),
    ours(
        9092,
        Exit::Refused,
        ("a troca de raiz não está neste passo", "siga a ordem start, switch, finish; cada passo pode ser repetido"),
        ("the rotation is not at this step", "keep to start, switch, finish; each step may be repeated"),
    ),
];
