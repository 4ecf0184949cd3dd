/** The page: which view is shown, who may do what, where dropped pictures go. */

import { AddView } from "./add-view.js";
import { go, here, NOWHERE, onPlace, tell } from "./address.js";
import { ask, send, whenKeyIsMissing } from "./api.js";
import { BrowseView } from "./browse-view.js";
import { Detail } from "./detail.js";
import { askForKey } from "./key-dialog.js";
import { plain } from "./tile.js";
import { receive, seemsPicture } from "./picking.js";
import { SearchView } from "./search-view.js";
import { service } from "./service.js";
import { suggestKeys } from "./suggestions.js";

const TITLES = { search: "Search", browse: "Browse", add: "Add pictures" };

const main = /** @type {HTMLElement} */ (document.getElementById("main"));
const signOut = /** @type {HTMLElement} */ (document.getElementById("sign-out"));

const views = { search: new SearchView(), browse: new BrowseView(), add: new AddView() };
const detail = new Detail();
let shown = "";

/** @param {import("./address.js").Place} place */
function show(place) {
  if (place.view !== shown) {
    if (shown) views[shown].leave();
    main.replaceChildren(views[place.view].element);
    for (const link of document.querySelectorAll("nav [data-view]")) {
      link.toggleAttribute("aria-current", false);
      if (/** @type {HTMLElement} */ (link).dataset.view === place.view) link.setAttribute("aria-current", "page");
    }
    document.title = `${TITLES[place.view]} \u00b7 Lookalike`;
    if (shown) main.focus({ preventScroll: true });
    shown = place.view;
  }
  views[place.view].show(place);
  detail.show(place.show);
}

/** Ask who the visitor is; without a key that is needed, ask for it first. */
async function learnSession() {
  const session = await ask("session");
  if (session.role === null || session.role === "search") {
    await askForKey();
    return;
  }
  Object.assign(service, { role: session.role, maxUploadBytes: session.max_upload_bytes, fetching: session.fetching });
  document.body.dataset.role = session.role;
  signOut.hidden = !session.keys;
}

async function learnModels() {
  const { detector, metadata_types: types } = await ask("v1/models");
  Object.assign(service, { detector: detector !== null, types });
  suggestKeys(Object.keys(types));
}

document.addEventListener("signed-in", () => void learnSession());
signOut.addEventListener("click", async () => {
  await send("session", { method: "DELETE" });
  location.assign(document.baseURI);
});

document.addEventListener("click", (event) => {
  const link = /** @type {HTMLElement} */ (event.target).closest?.("a[data-view]");
  if (link) plain(() => go({ ...NOWHERE, view: /** @type {any} */ (/** @type {HTMLElement} */ (link).dataset.view) }))(event);
});

const adds = () => here().view === "add";
receive({
  words: () => (adds() ? "Drop to add" : "Drop to search"),
  ondrop: (transfer) => {
    if (adds()) void views.add.takeDrop(transfer);
    else if (transfer.files.length) views.search.searchFile([...transfer.files].find(seemsPicture) ?? transfer.files[0]);
  },
  onpaste: (pasted) => (adds() ? views.add.takeFiles(pasted) : views.search.searchFile(pasted[0])),
});

whenKeyIsMissing(askForKey);
onPlace(show);
try {
  await learnSession();
  await learnModels();
  await views.add.restore();
} catch {
  // The view that is shown meets the same trouble, and tells.
}
tell();
