"""Where everything is kept: one database, PostgreSQL or SQLite, through one class per concern.

    database        Database.open(url), begin() and reading(), the database's clock, whether the schema is there
    migration       migrate(url)
    sagas           SagaStore: create, load, commit, due, unsent, quarantine: the engine's side
    reader          SagaReader: get, history, page, counts: the side of people
    samples         SampleReader: some sagas of many, with their histories, for a diagnosis
    outbox          OutboxStore: claim, forget, release, park, ...: the relay's side
    definitions     DefinitionStore: register, get, newest, versions
    dead_letters    DeadLetterStore: keep, page, get, resolve
    fleet           FleetStore: workers and their heartbeats, holds
    outcomes        OutcomeStore: how attempts and calls ended, per minute
    occurrences     OccurrenceStore: what happened around the sagas
    incidents       IncidentStore: record, due, merge, close_quiet, ...: failures put into incidents (grouping: how)
    incident_reader IncidentReader: get, page, facets, failures, past, ...: incidents as they are looked at
    reports         ReportStore: put, latest, say, ...: reports, feedback, calls of the model
    remedies        RemedyStore: propose, approve, begin, finish, ...
    values          what goes in and comes out; of diagnosis: observed, explained
    schema          the tables; of diagnosis: schema_diagnosis
    pruning         how what is old is forgotten
    dialect         the differences between the two databases

A method is a transaction, and takes many rows at once wherever there can be many. Time comes in as an argument.
"""
