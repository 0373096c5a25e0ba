"""What wordings mean: the weakest of the three, for an author of data can choose them, but all that some errors have.

English as libraries write it, and the commonest of other languages. Each pattern is linear: its gaps are bounded.
"""

from __future__ import annotations

import re

from coordinator.diagnosis.meaning import Meaning, Resource, SignalFamily, Timeout, meaning

F = SignalFamily

_time = (F.TIMEOUT, F.UNAVAILABLE)
_pool = meaning(F.RESOURCE, resource=Resource.POOL, before_send=True, outranks=_time)
_pool_wait = meaning(
    F.RESOURCE, resource=Resource.POOL, timeout=Timeout.POOL, before_send=True, outranks=(F.TIMEOUT, F.UNAVAILABLE)
)
_disk = meaning(F.RESOURCE, resource=Resource.DISK, outranks=(F.UNAVAILABLE,))
_memory = meaning(F.RESOURCE, resource=Resource.MEMORY)
_connect = meaning(F.TIMEOUT, 0.75, (F.UNAVAILABLE, 0.25), timeout=Timeout.CONNECT, before_send=True)
_read = meaning(F.TIMEOUT, timeout=Timeout.READ, sent=True)
_unreached = meaning(F.UNAVAILABLE, before_send=True)
_broken = meaning(F.UNAVAILABLE, sent=True)
_lock = meaning(F.LOCK, timeout=Timeout.LOCK, turned_away=True, outranks=(F.TIMEOUT,))
_credential = meaning(F.CREDENTIAL, turned_away=True)
_certificate = meaning(F.CREDENTIAL, 0.85, (F.CONFIGURATION, 0.15), before_send=True, outranks=(F.UNAVAILABLE,))
_limited = meaning(F.RATE_LIMITED, turned_away=True)
_conflict = meaning(F.CONFLICT, turned_away=True)
_no = meaning(F.BUSINESS, turned_away=True)
_invalid = meaning(F.INVALID_DATA)
_bug = meaning(F.BUG)

# fmt: off
_wordings: tuple[tuple[Meaning, tuple[str, ...]], ...] = (
    # what only seems to be a timeout
    (_pool_wait, (
        "queuepool limit", r"pool (?:limit|size)[^\n]{0,40}(?:reached|exceeded)",
        r"(?:connection )?pool[^\n]{0,30}(?:exhausted|is full|timed out|timeout)",
        r"(?:no|waiting for)[^\n]{0,20}(?:free|available|idle) connections?",
        "timeout waiting for (?:a )?connection", "connection is not available, request timed out",
        "couldn't get a connection",
    )),
    (_pool, (
        "too many (?:clients|connections)", "remaining connection slots",
        "max_?(?:client_conn|connections|user_connections)", "sorry, too many",
    )),
    (_lock, (
        "lock (?:wait )?time-?out", "lock wait", "could not obtain lock", "deadlock", "could not serialize access",
        "locked by another", "lock request time ?out", "database (?:table )?is locked", "resource busy and acquire",
        "failed to acquire lock", r"unable to acquire[^\n]{0,20}lock", r"waiting for[^\n]{0,20}lock", "blockage",
        "verklemmung", "interblocage", "interbloqueo", "sperr(?:e|konflikt|zeit)", "verrou", "bloqueo", "デッドロック",
        "ロック",
    )),
    (meaning(F.TIMEOUT, 0.5, (F.LOCK, 0.4), timeout=Timeout.STATEMENT, outranks=(F.TIMEOUT,)), (
        "statement time-?out", "canceling statement",
        "query (?:execution )?(?:was )?(?:canceled|interrupted|timed out)",
    )),
    # resources
    (_disk, (
        "no space left", "disk (?:is )?full", "disk quota", "out of disk", "insufficient (?:disk|storage)",
        "could not extend file", "not enough space", "kein (?:speicherplatz|platz)", "datenträger (?:ist )?voll",
        "espace disque", "disque plein", "espacio en (?:el )?disco", "disco lleno", "read-only file system", "ディスク",
    )),
    (meaning(F.RESOURCE, resource=Resource.FILES), (
        "too many open files", "file descriptors?", "zu viele offene dateien", "trop de fichiers ouverts",
        "demasiados archivos",
    )),
    (_memory, (
        "out of memory", "cannot allocate memory", "java heap space", "heap out of memory", "memory limit",
        "oom[- ]?kill", "gc overhead", "arbeitsspeicher", "mémoire insuffisante", "memoria insuficiente", "メモリ不足",
    )),
    (meaning(F.RESOURCE, resource=Resource.THREADS), (
        "can'?t start new thread", "unable to create (?:new )?(?:native )?thread",
        r"thread pool[^\n]{0,20}(?:full|exhausted)", "task queue is full",
    )),
    (meaning(F.RESOURCE, resource=Resource.PORTS), (
        "cannot assign requested address", "address already in use", "ephemeral ports?",
    )),
    # it was never reached
    (_unreached, (
        "connection refused", "connect call failed", "actively refused", "econnrefused",
        "verbindung (?:wurde )?(?:abgelehnt|verweigert)", r"verbindungsaufbau[^\n]{0,20}(?:abgelehnt|verweigert)",
        "connexion refusée", "conexi[oó]n (?:rechazada|rehusada)", "接続(?:が|を)?拒否",
    )),
    (_unreached, (
        "name or service not known", "getaddrinfo", "nodename nor servname", "no such host", "could not resolve",
        "name resolution", "unknown host", "enotfound", "nxdomain", "host nicht gefunden",
        "hôte (?:inconnu|introuvable)", "host desconocido", "名前解決", "unable to resolve host",
    )),
    (_unreached, (
        "no route to host", "network is unreachable", "host is unreachable", "host is down",
        r"netzwerk[^\n]{0,20}nicht erreichbar", r"réseau[^\n]{0,20}inaccessible", "red inaccesible",
    )),
    (_unreached, (
        r"circuit ?breaker[^\n]{0,40}open", "circuit is open", "breaker is open",
    )),
    # time
    (_connect, (
        "connect(?: attempt)? (?:has )?time(?:d)?[ -]?out", "connection attempt (?:has )?timed out",
        "connect time-?out",
        "timed? ?out (?:while )?(?:connecting|trying to connect)", "connection establishment timed out",
        r"verbindungsaufbau[^\n]{0,30}zeitüberschreitung", "zeitüberschreitung beim verbindungsaufbau",
        r"dial (?:tcp|udp)[^\n]{0,80}(?:i/o timeout|timed out)",
    )),
    # said of connections that stood, too
    (meaning(F.TIMEOUT, 0.75, (F.UNAVAILABLE, 0.25)), (
        "connection (?:has )?time(?:d)?[ -]?out", r"connection to [^\n]{1,80} timed out",
        "zeitüberschreitung (?:bei|der|des) (?:verbindung|verbindungsaufbau)", r"délai[^\n]{0,30}connexion",
        r"tiempo de espera[^\n]{0,20}conexi[oó]n", "接続が?タイムアウト",
    )),
    (_read, (
        "read (?:operation )?time(?:d)?[ -]?out",
        "timed? ?out (?:while )?(?:reading|waiting for (?:a )?(?:response|reply|answer))", "no response within",
        "response time-?out", "receive time-?out", "did not (?:answer|respond|reply)", "awaiting headers",
    )),
    (meaning(F.TIMEOUT), (
        "time(?:d)?[ -]?out", "deadline (?:was )?exceeded", "took too long", "zeitüberschreitung", "zeitlimit",
        "délai (?:d'attente )?(?:dépassé|expiré)", "expiration du délai", "tiempo de espera", "se agotó el tiempo",
        "tempo scaduto", "タイムアウト", "超时", "took longer than",
    )),
    # it broke, or says that it can't
    (_broken, (
        "connection (?:was )?(?:reset|aborted|closed|lost|terminated|dropped)", "reset by peer", "broken pipe",
        "server disconnected", "remote end closed", "unexpected eof", "socket hang up",
        "premature(?:ly)? (?:close|end)", "server closed the connection", "connection has been closed",
        "verbindung (?:wurde )?(?:unterbrochen|zurückgesetzt|getrennt)",
        "connexion (?:réinitialisée|interrompue|perdue)", "conexi[oó]n (?:reiniciada|perdida|cerrada)",
        "terminating connection",
    )),
    (meaning(F.UNAVAILABLE, 0.9), (
        "service (?:is )?(?:temporarily )?unavailable", "temporarily unavailable", "bad gateway",
        "upstream (?:connect )?(?:error|unavail|request failed)", "internal server error", "no healthy upstream",
        "server is (?:down|starting up|shutting down)", "try again later", "out of service", "under maintenance",
        "maintenance mode", "(?:the )?database system is (?:starting|shutting)", "nicht (?:verfügbar|erreichbar)",
        "(?:service )?indisponible", "no disponible", "利用できません", "cannot connect to", "can'?t connect to",
        "could not connect to", "failed to connect", "unable to connect", "connection failed",
    )),
    (meaning(F.RATE_LIMITED, 0.5, (F.UNAVAILABLE, 0.5)), (
        "overloaded", "over capacity", "at capacity", "server (?:is )?(?:too )?busy",
    )),
    # not so fast
    (_limited, (
        "too many requests", "rate[- ]?limit", "throttl",
        r"(?:request|api|daily|monthly|hourly) (?:quota|limit)[^\n]{0,20}(?:exceeded|reached)",
        "quota (?:has been )?exceeded", "slow down", "requests? per (?:second|minute|hour|day)", "zu viele anfragen",
        "trop de requêtes", "demasiadas (?:solicitudes|peticiones)", "リクエストが多すぎ", "レート制限",
    )),
    # who are you
    (_certificate, (
        "certificate (?:verify failed|has expired|is not (?:yet )?valid)", "expired certificate",
        "self[- ]signed certificate", "unable to get local issuer", "x509:",
        r"certificate[^\n]{0,40}(?:expired|invalid|unknown|not trusted)",
        r"zertifikat[^\n]{0,20}(?:abgelaufen|ungültig)", r"certificat[^\n]{0,20}expiré",
        r"certificado[^\n]{0,20}(?:caducado|vencido)",
    )),
    (_credential, (
        "unauthori[sz]ed", "authentication (?:failed|required|error)",
        "invalid (?:api[ _-]?key|token|credentials?|signature|client|grant|password|access key)",
        "incorrect (?:api key|password)", "invalid_(?:client|grant|token|api_key)",
        "expired (?:token|api[ _-]?key|credentials?)",
        "(?:token|api[ _-]?key|credentials?|password|secret) (?:ha(?:s|ve) been |has |is |have )?(?:expired|revoked)",
        "(?:token|api[ _-]?key|credentials?|password|secret) (?:is |was )?invalid",
        "login failed", "access (?:is |was )?denied", "permission denied", "not authori[sz]ed", "forbidden",
        "no password supplied", "authentifizierung", "anmeldung fehlgeschlagen", "zugriff verweigert",
        "nicht berechtigt", "accès refusé", "non autorisé", "acceso denegado", "no autorizado", "credenciales",
        "認証(?:エラー|に失敗|失敗)", "アクセスが拒否",
    )),
    # it is there already
    (_conflict, (
        "duplicate (?:key|entry|record|request)",
        "already (?:exists?|captured|refunded|processed|registered|in use)",
        "already been (?:processed|captured|refunded|charged|taken|used)",
        "unique (?:constraint|violation)", "violates unique", "version conflict", "optimistic lock",
        "modified by another", "stale (?:object|data|version)", "row was updated",
        "concurrent (?:update|modification)", "precondition failed", "etag",
        r"idempotency key[^\n]{0,40}(?:reuse|different|used)", "bereits (?:vorhanden|existiert|vergeben|gebucht)",
        "existiert bereits", "existe déjà", "ya existe", "既に存在", "すでに存在",
    )),
    # a rule of the trade
    (_no, (
        "declined", "insufficient (?:funds|stock|balance|credit)", "out of stock",
        "not (?:enough|sufficient) (?:stock|funds|inventory)", "sold out", "credit limit",
        "exceeds (?:the )?(?:available|limit|balance|maximum)", "fraud", "expired card", "not eligible",
        "nicht gedeckt", "abgelehnt: karte", "karte abgelehnt", "nicht auf lager", "solde insuffisant",
        "rupture de stock", "carte refusée", "fondos insuficientes", "saldo insuficiente", "sin existencias",
        "tarjeta rechazada", "在庫(?:切れ|が?不足|がありません)", "残高不足", "on hand", "blocked customer",
        "account (?:is )?closed",
        "fully (?:loaded|booked)",
    )),
    # data
    (_invalid, (
        "validation (?:error|failed)", "is (?:a )?required(?: property| field)?", "field required",
        "missing (?:required )?(?:field|property|parameter|value)", "is not a valid",
        "invalid (?:input|value|format|json|date|email|amount|currency|argument|literal|request|character|utf-8|data)",
        "expecting value", "unexpected (?:token|character|end of json)", "failed to parse",
        "could not (?:parse|deserialize|decode)", "cannot (?:deserialize|unmarshal|parse|convert)",
        "schema (?:validation|mismatch)", "not-null constraint", "check constraint", "value too long",
        "out of range", "malformed", "too (?:large|long|big)", "must (?:be|not be|match|have)", "does not match",
        "input should be", "can'?t decode", "ungültig", "invalide", "inválid[oa]", "不正な", "無効な",
    )),
    (meaning(F.INVALID_DATA, 0.6, (F.CONFLICT, 0.4)), (
        "foreign key",
    )),
    # the code
    (_bug, (
        "'?nonetype'? object", "has no attribute", "is not (?:callable|subscriptable|iterable|a function)",
        "unsupported operand", "cannot read propert", "undefined is not", "null pointer", "nil pointer",
        "division by zero", "index out of (?:range|bounds)", "not defined", "referenced before assignment",
        "assertion failed", "segmentation fault", "stack overflow", "unexpected keyword argument",
        r"missing \d+ required positional", "object reference not set", r"goroutine \d+", "maximum recursion",
        r"takes \d+ positional", "of undefined", r"of null\b",
    )),
    (meaning(F.BUG, 0.6, (F.CONFIGURATION, 0.4)), (
        r"(?:relation|column|table|function) [^\n]{1,80} does not exist", "no such (?:table|column)",
        "unknown column", "cannot import name", "no module named",
    )),
    # a setting, a name
    (meaning(F.CONFIGURATION), (
        "no such file", "file not found",
        r"(?:environment variable|setting|config(?:uration)?)[^\n]{0,40}(?:not set|missing|is required)",
        r"(?:environment variable|setting|config(?:uration)?)[^\n]{0,40}(?:invalid|not found)",
        "misconfigur", "not configured", "unknown database", r"database [^\n]{1,60} does not exist", "no queue",
        "no exchange", "unsupported protocol", "invalid url", "no such bucket", "unknown topic", "feature flag",
        "konfiguration", "datei nicht gefunden", "archivo no encontrado", "fichier introuvable",
    )),
    (meaning(F.UNKNOWN_HANDLER), (
        "no handler", "unknown (?:action|command|handler|task|method)", "not registered", "unregistered task",
        "method not found", "unimplemented",
    )),
    # the broker
    (meaning(F.BROKER, 0.7), (
        r"\bbroker\b", "rabbitmq", r"\bamqp", "channel (?:is )?(?:closed|invalid)", "connection_forced", "kafka",
        r"exchange[^\n]{0,20}not found", "memory alarm", "flow control", "precondition_failed",
    )),
    (meaning(F.NO_REPLY, outranks=(F.TIMEOUT,)), (
        "no reply within", r"did not answer [^\n]{0,20}inquir",
    )),
)
# fmt: on
_patterns = tuple((re.compile("|".join(words)), what) for what, words in _wordings)
wording_chars_max = 2_000


def meanings_of_wording(text: str) -> list[Meaning]:
    """What the words of a text mean, the most specific first."""
    small = text[:wording_chars_max].lower()
    return [what for pattern, what in _patterns if pattern.search(small)]
