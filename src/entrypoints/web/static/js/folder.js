/** Files in dropped folders, and folders below them. */

/** @typedef {{file: File, name: string}} Found name: its path within what was dropped */

/**
 * All files of a drop. Entries must be taken at once: after the event the browser forgets them.
 * @param {DataTransfer} transfer
 * @returns {Promise<{found: Found[], folders: boolean}>} folders: whether one of those dropped was a folder
 */
export async function filesOf(transfer) {
  const entries = [...transfer.items].map((item) => item.webkitGetAsEntry?.()).filter((entry) => entry !== null && entry !== undefined);
  if (!entries.length) return { found: [...transfer.files].map((file) => ({ file, name: file.name })), folders: false };
  const found = await Promise.all(entries.map((entry) => filesBelow(entry, "")));
  return { found: found.flat(), folders: entries.some((entry) => entry.isDirectory) };
}

/** The files of a folder that was chosen. @param {File[]} files @returns {Found[]} */
export const filesChosen = (files) => files.map((file) => ({ file, name: file.webkitRelativePath || file.name }));

/** @param {FileSystemEntry} entry @param {string} path @returns {Promise<Found[]>} */
async function filesBelow(entry, path) {
  if (entry.name.startsWith(".")) return [];
  if (entry.isFile) {
    const file = await new Promise((/** @type {(file: File) => void} */ resolve, reject) => /** @type {FileSystemFileEntry} */ (entry).file(resolve, reject));
    return [{ file, name: path + file.name }];
  }
  const reader = /** @type {FileSystemDirectoryEntry} */ (entry).createReader();
  const found = [];
  for (;;) {
    // It hands out a hundred or so at a time, and none at the end.
    const some = await new Promise((/** @type {(entries: FileSystemEntry[]) => void} */ resolve, reject) => reader.readEntries(resolve, reject));
    if (!some.length) return found;
    for (const child of some) found.push(...(await filesBelow(child, `${path}${entry.name}/`)));
  }
}
