/**
 * The pages: an address each, a module each. One with a `name` is in the menu, at this place. The first part of every
 * address is known to the server, too (`pages` in `__init__.py`), which answers it with the dashboard.
 */
import { DeadLetters } from "./pages/dead-letters.js";
import { Definition } from "./pages/definition.js";
import { Definitions } from "./pages/definitions.js";
import { Incident } from "./pages/incident.js";
import { Incidents } from "./pages/incidents.js";
import { Notifications } from "./pages/notifications.js";
import { Overview } from "./pages/overview.js";
import { Participant } from "./pages/participant.js";
import { Participants } from "./pages/participants.js";
import { Saga } from "./pages/saga.js";
import { Sagas } from "./pages/sagas.js";

/** @type {{path: string, name?: string, view: any, title?: (found: any) => string, count?: (overview: any) => any}[]} */
export const pages = [
  { path: "", name: "Overview", view: Overview },
  { path: "sagas", name: "Sagas", view: Sagas, count: (overview) => overview.sagas.blocked },
  { path: "sagas/:id", view: Saga, title: ({ id }) => `Saga ${id}` },
  { path: "incidents", name: "Incidents", view: Incidents, count: (overview) => overview.incidents?.open },
  { path: "incidents/:id", view: Incident, title: () => "Incident" },
  { path: "definitions", name: "Definitions", view: Definitions },
  { path: "definitions/:name", view: Definition, title: ({ name }) => name },
  { path: "participants", name: "Participants", view: Participants, count: (overview) => overview.workers.unattended.length },
  { path: "participants/:name", view: Participant, title: ({ name }) => name },
  { path: "dead-letters", name: "Dead letters", view: DeadLetters, count: (overview) => overview.dead_letters.open },
  { path: "notifications", name: "Notifications", view: Notifications },
];
