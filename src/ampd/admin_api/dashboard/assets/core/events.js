/** The history of a job, the newest event first: what is new is added, older ones when they are asked for. */
import { get, path } from "./api.js";
import { useCallback, useRef } from "./preact.js";
import { touchesJob, useResource } from "./resource.js";

const PAGE = 50;
const NEWEST = 200;

/**
 * @param {number} id of the job
 * @returns {ReturnType<typeof useResource> & {older: () => void}} `data` is `{list, hasOlder}`
 */
export function useEvents(id) {
  const known = useRef({ list: [], cursor: null, wanted: 0 });
  const load = useCallback(async (signal) => {
    const { current } = known;
    await addNewest(id, current, signal);
    while (current.list.length < current.wanted && current.cursor !== null) await addOlder(id, current, signal);
    return { list: current.list, hasOlder: current.cursor !== null };
  }, [id]);
  const events = useResource(load, [id], touchesJob(id));
  const older = () => {
    known.current.wanted = known.current.list.length + PAGE;
    events.reload();
  };
  return { ...events, older };
}

async function addNewest(id, known, signal) {
  const isFirst = known.list.length === 0;
  const page = await get(path("jobs", id, "events"), { newest_first: true, limit: isFirst ? PAGE : NEWEST }, signal);
  const last = known.list[0]?.id ?? 0;
  const added = page.events.filter((event) => event.id > last);
  // So many came meanwhile that some between are missing: begin anew.
  const hasHole = !isFirst && added.length === page.events.length && "next_cursor" in page;
  if (hasHole || isFirst) known.cursor = page.next_cursor ?? null;
  known.list = hasHole ? added : [...added, ...known.list];
}

async function addOlder(id, known, signal) {
  const page = await get(path("jobs", id, "events"), { newest_first: true, limit: PAGE, after: known.cursor }, signal);
  known.list = [...known.list, ...page.events];
  known.cursor = page.next_cursor ?? null;
}
