"""What the coordinator shows: a REST API under `/v1`, probes and metrics, and a dashboard over that API.

app        create_web(coordinator): the whole as a Litestar application
gate       what every request passes first: the base path, the headers that all answers have
pages      the addresses of the dashboard, whose files are in dashboard/
desk       what every controller needs: the coordinator, who waits for an end, who asks
reading    bodies, parameters and headers, read strictly
problems   every error as a problem document (RFC 9457)
choosing   which sagas are meant, by a query or by a body
seen       the shapes of the answers; fleet has those about what sagas run on
showing    a saga as people see it: what it waits for, its attempts, what may be asked of it now
past       a saga's past, read again
timeline   a saga along the axis of time
overview   how everything stands; pace has starts and ends per minute
operating  participants in numbers
incidents  the shapes of the answers about failures
feed       what is new, for those who listen; moving has what is new among sagas
finishes   those who wait for a saga to end
metrics    what Prometheus scrapes
api/       one controller per resource
"""
