//! What the rules of the network refuse, 1001 to 1999: the same on every node, because each decides it from the same state.

use super::{Code, theirs};

/// In order.
pub(super) static CODES: &[Code] = &[
    theirs(
        1001,
        ("seu papel não permite isto", "use uma identidade com esse direito ou peça a um gestor"),
        ("the caller's role does not allow this", "use an identity whose role has this right, or ask a manager"),
    ),
    theirs(
        1002,
        (
            "a unidade do certificado não está cadastrada nesta rede",
            "cadastre a unidade, ou use um certificado de uma unidade cadastrada",
        ),
        (
            "the certificate's unit is not registered in this network",
            "register the unit first, or use a certificate of a registered unit",
        ),
    ),
    theirs(
        1101,
        ("o pedido chegou tarde demais para ser aplicado", "veja se foi feito e, se não, envie como pedido novo"),
        ("the request came too late to be applied", "look whether it was done, then send it again as a new request"),
    ),
    theirs(
        1102,
        ("o id do pedido já foi usado com outro conteúdo", "use um id novo para cada pedido novo"),
        ("the request id was used before, for another content", "make a new request id for each new request"),
    ),
    theirs(
        1103,
        ("o pedido quer viver mais de dez minutos", "dê um prazo de até dez minutos e confira o relógio"),
        (
            "the request asks to live longer than ten minutes",
            "set the time limit to at most ten minutes from now, and check the clock",
        ),
    ),
    theirs(
        1201,
        ("o objeto não é conhecido", "confira o id, ou cadastre-o antes"),
        ("the object is not known", "check the id, or register it first"),
    ),
    theirs(
        1202,
        ("o objeto já existe, com outro conteúdo", "use um id novo, ou corrija o existente"),
        ("the object exists already, with another content", "use a new id, or amend the existing one"),
    ),
    theirs(
        1203,
        ("o objeto mudou desde que você o viu", "leia de novo e repita a mudança sobre a nova versão"),
        ("the object changed meanwhile", "read it again and repeat the change on the new version"),
    ),
    theirs(
        1204,
        ("o horário está ocupado", "escolha outro horário, ou agende um encaixe com motivo: --encaixe MOTIVO"),
        ("the slot is taken", "choose another time, or book an encaixe with a reason: --encaixe REASON"),
    ),
    theirs(
        1205,
        ("o agendamento termina antes de começar", "dê um fim depois do início"),
        ("the appointment ends before it begins", "give an end later than the start"),
    ),
    theirs(
        1206,
        ("o agendamento dura mais de 24 horas", "divida em partes de até 24 horas"),
        ("the appointment is longer than 24 hours", "book it in parts of at most 24 hours"),
    ),
    theirs(
        1207,
        ("a data está fora dos anos 1900 a 9999", "confira o ano"),
        ("the time lies outside the years 1900 to 9999", "check the year"),
    ),
    theirs(1208, ("falta o motivo", "diga o motivo"), ("a reason is needed", "say why")),
    theirs(
        1209,
        ("o agendamento não pode passar a esse estado", "veja como ele está agora: plantao agenda get"),
        ("the appointment cannot take this step", "look at the appointment as it is now: plantao agenda get"),
    ),
    theirs(
        1210,
        ("a sala é de outra unidade", "escolha uma sala da mesma unidade: plantao room list"),
        ("the room belongs to another unit", "choose a room of the same unit: plantao room list"),
    ),
    theirs(
        1211,
        ("já existe paciente com este CPF ou telefone", "use o paciente já cadastrado"),
        ("a patient with this CPF or telephone exists", "use the registered patient"),
    ),
    theirs(
        1301,
        ("o consentimento foi revogado", "peça um novo consentimento"),
        ("the consent was revoked", "ask for a new consent"),
    ),
    theirs(
        1302,
        (
            "o consentimento não cobre agora imagens clínicas deste paciente",
            "registre o consentimento do paciente para imagens clínicas e indique esse",
        ),
        (
            "the consent does not cover clinical images of this patient now",
            "register the patient's consent to clinical images, and name that one",
        ),
    ),
    theirs(
        1401,
        ("um valor está fora dos limites", "veja os limites na ajuda do comando"),
        ("a value is outside its bounds", "see the bounds in the help of the command"),
    ),
    theirs(
        1402,
        (
            "o pedido tem um campo ou valor que este nó não conhece",
            "use um programa da versão do nó, ou atualize o nó antes",
        ),
        (
            "the request has a field or a value that this node does not know",
            "use a program of the node's version, or upgrade the node first",
        ),
    ),
    theirs(
        1403,
        ("o pedido não pôde ser lido", "use um programa da versão do nó; veja: plantao version"),
        ("the request cannot be read", "use a program of the node's version; see: plantao version"),
    ),
    theirs(
        1501,
        ("a rede não está em estado para isto", "veja a rede: plantao status"),
        ("the cluster is not in a state for this", "look at the state of the cluster: plantao status"),
    ),
    theirs(
        1502,
        ("o token é desconhecido, já usado ou vencido", "crie outro: plantao token create"),
        ("the join token is unknown, spent or too old", "make a new one: plantao token create"),
    ),
    theirs(
        1601,
        ("o envio já terminou", "veja se a imagem está lá e, se não, comece um envio novo"),
        ("the upload is not open any more", "look whether the image is there; if not, begin a new upload"),
    ),
    theirs(
        1602,
        ("o prazo do envio acabou", "renove o envio e confirme de novo, ou comece outro"),
        ("the upload's lease is over", "renew the upload and commit again, or begin a new one"),
    ),
    theirs(
        1603,
        ("falta uma parte do manifesto", "envie a parte que falta e confirme de novo"),
        ("a part of the manifest is missing", "send the missing part, then commit again"),
    ),
    theirs(
        1604,
        ("uma parte da imagem está segura em menos de dois locais", "espere um nó de outro local e confirme de novo"),
        (
            "a part of the image is durable on fewer than two sites",
            "wait for a node on another site, then commit again",
        ),
    ),
    theirs(
        1605,
        ("a distribuição tem menos de dois locais", "traga de volta um nó de outro local e tente de novo"),
        ("the placement names fewer than two sites", "bring a node on another site back, then try again"),
    ),
    theirs(
        1606,
        (
            "este diretório de blocos não é, ou não é mais, o registrado do seu nó",
            "crie um diretório novo nesse nó; um antigo nunca volta",
        ),
        (
            "the chunk store is not, or no longer, the registered one of its node",
            "make a new chunk directory on that node; an old one never comes back",
        ),
    ),
    theirs(
        1607,
        (
            "o recibo é de outros blocos, ou de antes de uma exclusão",
            "deixe esse nó conferir os blocos de novo e envie o recibo novo",
        ),
        (
            "the receipt is for other chunks, or from before a deletion",
            "let that node verify its chunks again, and send the new receipt",
        ),
    ),
    theirs(
        1608,
        ("há envios demais abertos na rede", "envie de novo quando outros terminarem"),
        ("too many uploads are open in the network", "send it again when other uploads have ended"),
    ),
    theirs(
        1609,
        ("isto ainda está em uso", "envie de novo quando os envios abertos do paciente terminarem"),
        ("this is still in use", "send it again when the patient's open uploads have ended"),
    ),
    theirs(
        1620,
        ("faltam blocos antes deste", "consulte a situação do envio e continue dali"),
        ("chunks are missing before this one", "ask for the status of the upload, and go on from there"),
    ),
    theirs(
        1621,
        ("o bloco não está inteiro", "envie o bloco inteiro: 1 MiB, e o resto no último"),
        ("the chunk is not whole", "send the chunk whole: 1 MiB, and the rest as the last one"),
    ),
    theirs(
        1622,
        ("o bloco já foi enviado com outro conteúdo", "desista do envio e comece outro: o arquivo mudou"),
        ("the chunk was sent before with other bytes", "abandon the upload and begin a new one: the file changed"),
    ),
    theirs(
        1623,
        ("o conteúdo não é do tipo declarado", "comece um envio novo com o tipo que o arquivo tem"),
        ("the content is not what it was declared to be", "begin a new upload with the type that the file has"),
    ),
    theirs(
        1624,
        ("o conteúdo não confere com o SHA-256", "desista do envio e comece outro com o arquivo como está agora"),
        ("the content does not match its SHA-256", "abandon the upload and begin a new one with the file as it is now"),
    ),
    theirs(
        1625,
        ("o fim diz um tamanho diferente do início", "desista do envio e comece outro com o tamanho certo"),
        ("the end says another size than the beginning", "abandon the upload and begin a new one with the right size"),
    ),
    theirs(
        1626,
        ("nem todos os blocos chegaram", "consulte a situação do envio e continue dali"),
        ("not all chunks came", "ask for the status of the upload, and go on from there"),
    ),
    theirs(
        1627,
        ("uma chamada posterior continua este envio", "nada, se as duas são suas; senão consulte a situação do envio"),
        ("a later call goes on with this upload", "nothing, if you sent both; else ask for the status of the upload"),
    ),
    theirs(
        1628,
        ("a imagem não tem miniatura", "leia a própria imagem"),
        ("the image has no thumbnail", "read the image itself"),
    ),
    theirs(
        1701,
        ("o nó está drenado", "escolha outro nó, ou libere-o: plantao node undrain"),
        ("the node is drained", "choose another node, or let it lead again: plantao node undrain"),
    ),
    theirs(
        1702,
        (
            "o instante já passou, ou está longe demais",
            "escolha um instante futuro: uma pausa dura até 24 horas, um agendamento até 30 dias",
        ),
        (
            "the time is over, or too far ahead",
            "choose a time to come: a pause lasts 24 hours at most, a schedule 30 days",
        ),
    ),
    theirs(
        1703,
        ("já há uma troca de líder agendada", "cancele a outra antes: plantao switchover cancel"),
        ("a switchover is scheduled already", "cancel the other one first: plantao switchover cancel"),
    ),
    theirs(
        1704,
        ("o nó não tem a chave raiz", "escolha o nó de uma unidade; o nó externo lidera só quando nenhum outro pode"),
        ("the node holds no root key", "choose a unit's node; the off-site node leads when no other can"),
    ),
    theirs(
        1721,
        (
            "sobrariam votantes de menos",
            "promova outro nó antes, ou dê --allow-fewer-voters para ficar com menos de três",
        ),
        (
            "too few voters would be left",
            "promote another node first, or give --allow-fewer-voters to be left with fewer than three",
        ),
    ),
    theirs(
        1722,
        (
            "o nó foi removido da rede para sempre",
            "deixe o computador entrar de novo, com número novo: plantao member add",
        ),
        (
            "the node was removed from the network for good",
            "let the machine join anew, under a fresh number: plantao member add",
        ),
    ),
    theirs(
        1723,
        ("nenhuma mudança de membros está preparada", "prepare uma antes: plantao member stage"),
        ("no change of members is staged", "stage one first: plantao member stage"),
    ),
    theirs(
        1724,
        ("outro nó já está tomando o lugar deste", "espere até estar em dia, ou remova-o: plantao member diff"),
        (
            "another node is taking the place of this one already",
            "wait until it has caught up, or remove it: plantao member diff",
        ),
    ),
    theirs(
        1731,
        (
            "isto precisa de um nível de formato que a rede ainda não tem",
            "quando todos os nós rodarem a versão nova, conclua a atualização: plantao upgrade status",
        ),
        (
            "this needs a format level that the network does not have yet",
            "once every node runs the new version, end the upgrade: plantao upgrade status",
        ),
    ),
    theirs(
        1732,
        (
            "não se constatou que um dos nós lê este nível de formato",
            "atualize e ligue esse nó, ou remova-o se não volta: plantao upgrade status",
        ),
        (
            "one of the nodes was not found to read this format level",
            "upgrade and start that node, or remove it if it is gone for good: plantao upgrade status",
        ),
    ),
    theirs(
        1733,
        (
            "o programa do nó que entra não lê o que a rede escreve",
            "instale a versão que os outros nós rodam e entre de novo: plantao upgrade status",
        ),
        (
            "the program of the node that joins does not read what the network writes",
            "install the version that the other nodes run, then join again: plantao upgrade status",
        ),
    ),
];
