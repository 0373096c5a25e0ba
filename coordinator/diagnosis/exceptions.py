"""What the names of exceptions mean, in the libraries and languages that participants are written in: a name is chosen
by a library's author, not by whoever sends the data, so it outranks a wording."""

from __future__ import annotations

import re
from functools import lru_cache

from coordinator.diagnosis.meaning import Meaning, Resource, SignalFamily, Timeout, meaning

F = SignalFamily

_read = meaning(F.TIMEOUT, timeout=Timeout.READ, sent=True)
_connect = meaning(F.TIMEOUT, 0.8, (F.UNAVAILABLE, 0.2), timeout=Timeout.CONNECT, before_send=True)
_pool = meaning(F.RESOURCE, resource=Resource.POOL, before_send=True, outranks=(F.TIMEOUT,))
_unreached = meaning(F.UNAVAILABLE, before_send=True)
_broken = meaning(F.UNAVAILABLE, sent=True)
_memory = meaning(F.RESOURCE, resource=Resource.MEMORY)
_code_or_data = meaning(F.BUG, 0.7, (F.INVALID_DATA, 0.3))

# Names without their module, their suffix Error or Exception, small letters, as `_plain` makes them.
# fmt: off
_groups: tuple[tuple[Meaning, str], ...] = (
    (meaning(F.TIMEOUT), """
        timeout requesttimeout operationtimeout connectiontimeout connectiontimedout apitimeout
        deadlineexceeded servertimeout operationtimedout timedout asynctimeout gatewaytimeout httptimeout
        kafkatimeout concurrenttimeout timeoutexpired
    """),
    (_read, """
        readtimeout sockettimeout writetimeout readtimedout apireadtimeout networktimeout bodytimeout
        headerstimeout sockettimedout
    """),
    (_connect, """
        connecttimeout httpconnecttimeout
    """),
    (_pool, """
        pooltimeout sqltransientconnection maxconnections connectionpooltimeout poolexhausted bulkheadfull
        toomanyconnections connectionpoolexhausted connectionrequesttimeout nosuchconnectionavailable
        emptypool fullpool
    """),
    (meaning(F.TIMEOUT, 0.5, (F.LOCK, 0.4), timeout=Timeout.STATEMENT), """
        querycanceled
    """),
    (meaning(F.TIMEOUT, 0.4), """
        cancelled
    """),
    (_unreached, """
        connectionrefused connect clientconnector clientconnectordns newconnection unknownhost gai
        noroutetohost endpointconnection serverselectiontimeout nameresolution cannotconnectnow
        httphostconnect dns nosuchhost unresolvedaddress nobrokersavailable
    """),
    (_unreached, """
        circuitbreaker circuitbreakeropen callnotpermitted brokencircuit circuitopen breakeropen
    """),
    (_broken, """
        connectionreset connectionaborted brokenpipe remoteprotocol read write serverdisconnected clientos
        clientpayload chunkedencoding incompleteread remotedisconnected connectiondoesnotexist adminshutdown
        crashshutdown autoreconnect noresponse nohttpresponse socket eof protocol clusterdown masterdown
        busyloading leadernotavailable connectionlost connectionclosedunexpectedly
    """),
    (meaning(F.UNAVAILABLE), """
        connection clientconnection proxy apiconnection maxretry serviceunavailable unavailable
        brokernotavailable network transport fetch internalserver badgateway httpserver resourceaccess
        serverdown kafkaconnection webapplication remote notleaderforpartition redisconnectionfailure
        communications communication jdbcconnection httprequest request transientconnection
    """),
    (meaning(F.UNAVAILABLE, 0.5, (F.LOCK, 0.2), (F.RESOURCE, 0.2)), """
        operational
    """),
    (meaning(F.UNAVAILABLE, 0.5, (F.BUG, 0.4)), """
        interface
    """),
    (meaning(F.UNAVAILABLE, 0.2), """
        statusruntime rpc aiorpc grpc clientresponse httpstatus http restclient feign axios client api
        apistatus
    """),
    (meaning(F.RATE_LIMITED, turned_away=True), """
        ratelimit ratelimited ratelimitexceeded toomanyrequests throttling throttled throttle
        requestlimitexceeded provisionedthroughputexceeded slowdown limitexceeded requestnotpermitted
        requestthrottled ratelimiterrejected throttledrequest bandwidthlimitexceeded throttlingquotaexceeded
    """),
    (meaning(F.RATE_LIMITED, 0.6, (F.RESOURCE, 0.4), resource=Resource.QUOTA, turned_away=True), """
        quotaexceeded resourceexhausted insufficientquota
    """),
    (meaning(F.CREDENTIAL, turned_away=True), """
        authentication authenticationfailed unauthorized unauthenticated forbidden permissiondenied
        invalidpassword invalidauthorizationspecification invalidgrant invalidclient tokenexpired expiredtoken
        expiredsignature invalidtoken accessdenied nocredentials unrecognizedclient invalidclienttokenid
        signaturedoesnotmatch badcredentials credentialsexpired noauth wrongpassword topicauthorizationfailed
        insufficientprivilege accessrefused probableauthentication saslauthentication authorization
        notauthorized credentials loginfailed smtpauthentication partialcredentials clientauthentication
        authorizationfailed credentialretrieval groupauthorizationfailed jwt
    """),
    (meaning(F.CREDENTIAL, 0.85, (F.CONFIGURATION, 0.15), before_send=True), """
        sslcertverification certificate sslpeerunverified certificateexpired clientconnectorcertificate
        certpathvalidator certificateverify certificateinvalid
    """),
    (meaning(F.CREDENTIAL, 0.5, (F.UNAVAILABLE, 0.5), before_send=True), """
        sslhandshake clientconnectorssl handshake
    """),
    (meaning(F.CREDENTIAL, 0.5, (F.UNAVAILABLE, 0.5)), """
        ssl tls
    """),
    (meaning(F.CONFLICT), """
        uniqueviolation duplicatekey staledata optimisticlock optimisticlockingfailure staleobjectstate
        conflict alreadyexists dataintegrityviolation conditionalcheckfailed resourceconflict fileexists
        versionconflict concurrency preconditionfailed exclusionviolation entityalreadyexists idempotency
        duplicate duplicateentry objectoptimisticlockingfailure entityexists dbupdateconcurrency
        resourcealreadyexists duplicaterequest concurrentmodification bulkwrite watch
    """),
    (meaning(F.CONFLICT, 0.6, (F.INVALID_DATA, 0.4)), """
        integrity sqlintegrityconstraintviolation
    """),
    (meaning(F.INVALID_DATA, 0.6, (F.CONFLICT, 0.4)), """
        foreignkeyviolation
    """),
    (meaning(F.INVALID_DATA), """
        validation invaliddata badrequest constraintviolation data notnullviolation checkviolation
        invalidargument invalidtextrepresentation numericvalueoutofrange stringdatarighttruncation
        unprocessableentity invalidformat methodargumentnotvalid mismatchedinput zod unmarshaltype schema
        inputschema messagetoolarge payloadtoolarge unsendableresult unsendable invalidrequest unicodedecode
        unicodeencode malformedjwt schemavalidation requestvalidation invaliddatetimeformat
        datetimefieldoverflow datetimeparse serialization deserialization messagesizetoolarge recordtoolarge
        marshal unmarshal invalidparameter jsonparse jsonmapping jsonsyntax jsondecode numberformat parse
        format invalidinput missingfield invalidoperation contract outputschema
    """),
    (meaning(F.INVALID_DATA, 0.55, (F.BUG, 0.45)), """
        value illegalargument argument range syntax decode argumentoutofrange
    """),
    (meaning(F.INVALID_DATA, 0.6, (F.CONFIGURATION, 0.4)), """
        unresolvedreference
    """),
    (meaning(F.LOCK, turned_away=True), """
        lock locknotavailable deadlockdetected deadlock serializationfailure deadlockloserdataaccess
        cannotacquirelock pessimisticlock pessimisticlockingfailure locktimeout lockacquisition
        lockwaittimeout transactionrollback transactionserialization querylocktimeout lockedrecord
        transactionretry transactioncanceled transactionaborted writeconflict cannotserializetransaction
        locknotowned
    """),
    (_memory, """
        memory outofmemory oom javaheapspace insufficientmemory
    """),
    (meaning(F.RESOURCE, resource=Resource.DISK), """
        diskfull nospaceleft outofdiskspace
    """),
    (meaning(F.RESOURCE, resource=Resource.THREADS), """
        rejectedexecution taskrejected cannotstartthread
    """),
    (meaning(F.RESOURCE), """
        insufficientresources resource programlimitexceeded
    """),
    (meaning(F.RESOURCE, resource=Resource.FILES), """
        toomanyopenfiles
    """),
    (meaning(F.UNKNOWN_HANDLER), """
        unknownaction nohandler unknownhandler handlernotfound unknowncommand notregistered nosuchhandler
        unknowntask nohandlerfound unimplemented
    """),
    (meaning(F.BUG, 0.6, (F.UNKNOWN_HANDLER, 0.4)), """
        notimplemented unsupportedoperation
    """),
    (meaning(F.BUG), """
        attribute type index name zerodivision assertion unboundlocal recursion nullpointer classcast
        indexoutofbounds arrayindexoutofbounds stringindexoutofbounds nosuchmethod nosuchfield noclassdeffound
        reference nullreference nomethod arithmetic stackoverflow missinggreenlet detachedinstance panic
        invalidcast abstractmethod unhandledpromiserejection stopiteration indentation tab unsupportedoperand
        negativearraysize bufferoverflow overflow lookup dividebyzero internalcompiler invalidrequeststate
        nilpointer handlerendedtransaction
    """),
    (_code_or_data, """
        key nosuchelement keynotfound
    """),
    (meaning(F.BUG, 0.65, (F.CONFIGURATION, 0.35)), """
        import modulenotfound classnotfound programming undefinedtable undefinedcolumn undefinedfunction
        badsqlgrammar noreferencedtable
    """),
    (meaning(F.BUG, 0.2), """
        illegalstate runtime invalidstate
    """),
    (meaning(F.CONFIGURATION), """
        filenotfound improperlyconfigured configuration settings missingenvironmentvariable nosuchbucket
        unknowntopicorpartition unsupportedprotocol hostnotallowed invalidcatalogname badurl missingsetting
        missingschema invalidurl invalidschema nosuchfile environment config nosuchbean beancreation
        unknowndatabase notadirectory argumenterror channelnotfoundentity channelpreconditionfailed
        queuenotfound
    """),
    (meaning(F.BROKER, 0.8, (F.UNAVAILABLE, 0.2)), """
        amqpconnection amqp connectionclosed channelclosed channelinvalidstate delivery amqpchannel
        connectionclosedbybroker streamlost publish nackdelivery unroutable alreadyclosed channelwrongstate
        amqpheartbeattimeout amqpio
    """),
    (meaning(F.NO_REPLY), """
        noreply noanswer leaseexpired indoubt
    """),
    (meaning(F.BUSINESS, turned_away=True), """
        refused
    """),
)
# fmt: on
_names = {name: what for what, names in _groups for name in names.split()}
_separators = re.compile(r"[.:/$\\\s]+")
_suffix = re.compile(r"(?:_?(?:error|exception|failure|fault|failed))$", re.IGNORECASE)
_technical = re.compile(
    r"(?:error|exception|fault|panic|timeout|failure|failed|disconnected|aborted|lost|reset|[0-9])$", re.IGNORECASE
)
_endings: tuple[tuple[re.Pattern[str], Meaning], ...] = tuple(
    (re.compile(pattern), what)
    for pattern, what in (
        (r"connecttime(?:d)?out", _connect),
        (r"pool.*time(?:d)?out|pool.*exhaust|pool.*full", _pool),
        (r"lock.*time(?:d)?out|deadlock", meaning(F.LOCK, turned_away=True)),
        (r"time(?:d)?out|deadline", meaning(F.TIMEOUT)),
        (r"ratelimit|throttl|toomany", meaning(F.RATE_LIMITED, turned_away=True)),
        (r"unauthori[sz]|forbidden|credential|authenticat|accessdenied|permission|certificate",
         meaning(F.CREDENTIAL, turned_away=True)),
        (r"duplicate|alreadyexist|conflict", meaning(F.CONFLICT)),
        (r"connection|unavailable|unreachable|disconnect", meaning(F.UNAVAILABLE, 0.8)),
        (r"validation|invalid|malformed|parse|schema", meaning(F.INVALID_DATA, 0.8, (F.BUSINESS, 0.2))),
        (r"outofmemory", _memory),
    )
)  # fmt: skip
_said_no = meaning(F.BUSINESS, 0.7, (F.INVALID_DATA, 0.1))


def plain_name(name: str) -> str:
    """The name without its module: "ReadTimeout" of "httpx.ReadTimeout"."""
    parts = [part for part in _separators.split(name.strip()[:200]) if part]
    return parts[-1] if parts else ""


@lru_cache(maxsize=2048)
def meaning_of_exception(name: str) -> Meaning | None:
    """What an exception of this name means; None: nothing that is known here."""
    plain = plain_name(name)
    if not plain:
        return None
    whole = plain.lower().replace("_", "")
    core = whole
    while (shorter := _suffix.sub("", core)) != core and shorter:
        core = shorter
    if known := _names.get(whole) or _names.get(core):
        return known
    for pattern, what in _endings:
        if pattern.search(core):
            return what
    # A participant that refuses names a rule ("OutOfStock"); what broke names an error.
    said_no = plain[0].isupper() and not _technical.search(plain) and plain.isidentifier() and len(plain) > 3
    return _said_no if said_no else None
