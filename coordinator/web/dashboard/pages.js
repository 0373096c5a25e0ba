/**
 * The pages: an address each, a module each. One with a `name` is in the menu, at this place. The first part of every
 * address is known to the server, too (`pages` in `__init__.py`), which answers it with the dashboard.
 */
import { Access } from "./pages/access.js";
import { Audit } from "./pages/audit.js";
import { AuditEntry } from "./pages/audit-entry.js";
import { DeadLetter } from "./pages/dead-letter.js";
import { DeadLetters } from "./pages/dead-letters.js";
import { Definition } from "./pages/definition.js";
import { Definitions } from "./pages/definitions.js";
import { Incident } from "./pages/incident.js";
import { Incidents } from "./pages/incidents.js";
import { NotificationPage } from "./pages/notification.js";
import { Notifications } from "./pages/notifications.js";
import { Overview } from "./pages/overview.js";
import { Participant } from "./pages/participant.js";
import { Participants } from "./pages/participants.js";
import { Saga } from "./pages/saga.js";
import { Sagas } from "./pages/sagas.js";

/**
 * @type {{path: string, name?: string, view: any, count?: (overview: any) => any, counts?: string, role?: string}[]}
 *   `count`: the number beside the name, and `counts`, what is counted; `role`: whose page it is, if not everybody's
 */
export const pages = [
  { path: "", name: "Overview", view: Overview },
  { path: "sagas", name: "Sagas", view: Sagas, count: (overview) => overview.sagas.blocked, counts: "blocked" },
  { path: "sagas/:id", view: Saga },
  { path: "incidents", name: "Incidents", view: Incidents, count: (overview) => overview.incidents?.open, counts: "open" },
  { path: "incidents/:id", view: Incident },
  { path: "definitions", name: "Definitions", view: Definitions },
  { path: "definitions/:name", view: Definition },
  { path: "participants", name: "Participants", view: Participants, count: (overview) => overview.workers.unattended.length, counts: "without a worker" },
  { path: "participants/:name", view: Participant },
  { path: "dead-letters", name: "Dead letters", view: DeadLetters, count: (overview) => overview.dead_letters.open, counts: "open" },
  { path: "dead-letters/:id", view: DeadLetter },
  { path: "notifications", name: "Notifications", view: Notifications },
  { path: "notifications/:id", view: NotificationPage },
  { path: "access", name: "Access", view: Access, role: "admin" },
  { path: "audit", name: "Audit", view: Audit, role: "admin" },
  { path: "audit/:id", view: AuditEntry, role: "admin" },
];
