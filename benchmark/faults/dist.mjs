/** The project as built: another build with CLAW_DIST=file:///other/dist/, as for bench:system. */
const DIST = process.env.CLAW_DIST ?? new URL('../../dist/', import.meta.url).href

/** A module of the build, by its path below lib. */
export const load = (path) => import(new URL(`lib/${path}`, DIST).href)
