"""The commonest failures of package managers and frameworks, each with what to do about it."""

from __future__ import annotations

import dataclasses
import re

WRONG_CASE = "wrong-case"
WRONG_CASE_ADVICE = (
    "{module} is not there, but {file} is: the names of files are case-sensitive here. Write the import exactly as"
    " the file"
    " is called."
)


@dataclasses.dataclass(frozen=True, slots=True)
class Known:
    """`pattern` is searched in the lines that explain a failure. `advice` names its groups in braces.

    A group `module` is a path that was not found: a file of the same name in other letters is looked for.
    """

    kind: str
    pattern: re.Pattern[str]
    advice: str


def _rows(kind: str, patterns: tuple[str, ...], advice: str) -> tuple[Known, ...]:
    """The patterns of one failure: those that match a better line come first."""
    return tuple(_row(kind, pattern, advice) for pattern in patterns)


def _row(kind: str, pattern: str, advice: str) -> Known:
    return Known(kind, re.compile(pattern, re.MULTILINE), advice)


# Patterns run on at most 100 lines of 300 letters, once for a failed command. The first row that matches wins, so a
# row stands before every row that would match the same output and knows less.
_NPM = r"^npm (?:ERR!|error) "
_RELATIVE = r"['\"](?P<module>(?:[./@~]{1,3}/|/)[^'\"\n]{1,250})['\"]"
_PACKAGE = r"['\"](?P<package>(?:@[\w.-]{1,100}/)?[\w-][\w.-]{0,100})(?:/[^'\"\n]{0,200})?['\"]"

_RESOURCES = (
    _row(
        "out-of-memory",
        r"heap out of memory|Reached heap limit|process out of memory|sandbox: the build reached its limit of memory",
        "Build less at once (fewer pages, no source maps), or let the operator raise builder.memory_bytes.",
    ),
    _row(
        "out-of-disk",
        r"No space left on device|ENOSPC|Disk quota exceeded|EDQUOT",
        "Install and write less, or let the operator raise builder.disk_bytes.",
    ),
)
_NPM_ROWS = (
    _row(
        "npm-peer-conflict",
        _NPM
        + r"ERESOLVE .{1,100}(?:\n.*){0,6}?\n"
        + _NPM[1:]
        + r"Found: (?P<found>\S+)(?:\n.*){0,12}?\n"
        + _NPM[1:]
        + r"\s*peer(?:Optional)? (?P<wanted>\S+) from (?P<package>\S+)",
        "{package} needs {wanted}, but {found} is installed. Install versions that fit each other, or write"
        " `legacy-peer-deps=true` into .npmrc.",
    ),
    _row(
        "npm-peer-conflict",
        r"\bERESOLVE\b",
        "Two packages need different versions of the same peer dependency. Install versions that fit each other, or"
        " write"
        " `legacy-peer-deps=true` into .npmrc.",
    ),
    _row(
        "npm-no-lock",
        r"can only install with an existing package-lock\.json",
        "Commit package-lock.json, or set installCommand to `npm install`.",
    ),
    _row(
        "npm-lock-out-of-step",
        r"can only install packages when your package\.json and"
        r"|(?:Missing|Invalid): .{1,200} (?:from lock file|does not satisfy)",
        "package-lock.json does not fit package.json. Run `npm install` and commit package-lock.json, or set"
        " installCommand to `npm install`.",
    ),
    _row(
        "npm-engine",
        _NPM + r"(?:notsup|engine) Not compatible with your version of node/npm: (?P<package>\S+)"
        r"(?:\n.*){0,3}?\n" + _NPM[1:] + r"notsup Required: (?P<wanted>.{1,200})",
        "{package} wants {wanted}. Choose that Node version with .nvmrc or nodeVersion, or remove `engine-strict` from"
        " .npmrc.",
    ),
    *_rows(
        "npm-integrity",
        (r"integrity checksum failed", r"\bEINTEGRITY\b"),
        "The registry's file is not the one that the lockfile recorded. Delete the package's entry from"
        " package-lock.json,"
        " run `npm install`, and commit the lockfile.",
    ),
    *_rows(
        "registry-unreachable",
        (
            _NPM + r"network request to \S{1,200} failed",
            r"\b(?:ENOTFOUND|ETIMEDOUT|EAI_AGAIN|ECONNRESET|ECONNREFUSED|ERR_SOCKET_TIMEOUT)\b.{0,200}registry",
            _NPM + r"(?:code|errno) (?:ENOTFOUND|ETIMEDOUT|EAI_AGAIN|ECONNRESET|ECONNREFUSED)",
            r"ERR_PNPM_META_FETCH_FAIL|trouble with your network connection|YN0001.{0,20}RequestError",
        ),
        "The package registry did not answer. Deploy again; if it is not a public one, check its address in .npmrc or"
        " .yarnrc.yml.",
    ),
    _row(
        "private-package",
        _NPM + r"(?:code E40[13]|40[13] )|ERR_PNPM_FETCH_40[13]|YN0041|Request failed \"40[13]|- 40[13]$",
        "The registry asks for a login. Give the build a token in .npmrc or the registry's variable, or use a"
        " public package.",
    ),
    _row(
        "npm-version-not-found",
        r"No matching version found for (?P<package>\S{1,200}?)\.?(?:\s|$)",
        "No published version fits {package}. Correct it in package.json; `npm view PACKAGE versions` lists those"
        " that exist.",
    ),
    _row(
        "npm-package-not-found",
        _NPM + r"404\s+(?:The requested resource )?'(?P<package>[^'\n]{1,200})' (?:could not be found|is not in)",
        "The registry has no {package}. Check its name in package.json; a private package needs a token in .npmrc.",
    ),
    _row(
        "no-package-json",
        r"Could not read package\.json|ENOENT.{0,80}package\.json|ERR_PNPM_NO_PKG_MANIFEST"
        r"|Couldn't find a package\.json",
        "There is no package.json in the folder of the command. Set rootDirectory to the folder that has one.",
    ),
    _row(
        "missing-script",
        r"Missing script: \"?(?P<script>[^\"\n]{1,80})\"?|Command \"(?P<script1>[^\"\n]{1,80})\" not found|"
        r"Couldn't find a script named \"(?P<script2>[^\"\n]{1,80})\"|Script not found \"(?P<script3>[^\"\n]{1,80})\"",
        "package.json has no script of this name. Add it to `scripts`, or set buildCommand.",
    ),
    _row(
        "git-dependency",
        _NPM + r".{0,40}(?:git ls-remote|An unknown git error|Permission denied \(publickey\))"
        r"|Permission denied \(publickey\)",
        "A dependency is fetched from git by a login that builds do not have. Name it by https and make it public, or"
        " publish it to a registry.",
    ),
    _row(
        "husky",
        r"\bhusky\b.{0,30}not found|husky - .{0,80}(?:not found|can't be found)|\.git can't be found",
        'Git hooks are of no use in a build. Let the script tolerate it: `"prepare": "husky || true"`, or set HUSKY=0.',
    ),
)
_PNPM_ROWS = (
    _row(
        "pnpm-lock-out-of-step",
        r"ERR_PNPM_OUTDATED_LOCKFILE|ERR_PNPM_FROZEN_LOCKFILE",
        "pnpm-lock.yaml does not fit package.json. Run `pnpm install` and commit pnpm-lock.yaml, or set"
        " installCommand to"
        " `pnpm install --no-frozen-lockfile`.",
    ),
    _row(
        "pnpm-no-lock",
        r"ERR_PNPM_NO_LOCKFILE",
        "Commit pnpm-lock.yaml, or set installCommand to `pnpm install --no-frozen-lockfile`.",
    ),
    _row(
        "pnpm-broken-lock",
        r"ERR_PNPM_(?:BROKEN_LOCKFILE|LOCKFILE_BREAKING_CHANGE|LOCKFILE_CONFIG_MISMATCH)",
        "This pnpm does not read pnpm-lock.yaml. Name the pnpm that wrote it in `packageManager`, or run `pnpm"
        " install` with"
        " the new one and commit the lockfile.",
    ),
    _row(
        "pnpm-version-not-found",
        r"ERR_PNPM_NO_MATCHING_VERSION",
        "No published version fits what package.json asks for. Correct the version there.",
    ),
    _row(
        "pnpm-package-not-found",
        r"ERR_PNPM_FETCH_404",
        "The registry has no such package. Check its name in package.json; a private package needs a token in .npmrc.",
    ),
    _row(
        "pnpm-ignored-scripts",
        r"ERR_PNPM_IGNORED_BUILDS|Ignored build scripts: (?P<package>.{1,200})",
        "pnpm did not run the install scripts of some packages. Name those that need them under"
        " `onlyBuiltDependencies` in"
        " pnpm-workspace.yaml (`pnpm approve-builds`).",
    ),
    _row(
        "pnpm-engine",
        r"ERR_PNPM_UNSUPPORTED_ENGINE",
        "The project wants another version of Node or pnpm. Choose it with .nvmrc or nodeVersion and `packageManager`.",
    ),
    _row(
        "pnpm-peer-conflict",
        r"ERR_PNPM_PEER_DEP_ISSUES",
        "Packages need different versions of the same peer dependency. Install versions that fit each other, or write"
        " `strict-peer-dependencies=false` into .npmrc.",
    ),
)
_YARN_ROWS = (
    _row(
        "yarn-package-not-found",
        r"Couldn't find package \"(?P<package>[^\"\n]{1,200})\"|error An unexpected error occurred: .{0,200}Not found",
        "The registry has no such package. Check its name in package.json; a private package needs a token in .npmrc.",
    ),
    _row(
        "yarn-version-not-found",
        r"Couldn't find any versions for \"(?P<package>[^\"\n]{1,200})\"",
        "No published version of {package} fits what package.json asks for. Correct the version there.",
    ),
    _row(
        "yarn-engine",
        r"The engine \"(?P<engine>\w{1,20})\" is incompatible with this module\. Expected version \"(?P<wanted>[^\"\n"
        r"]{1,100})\"",
        "A package wants {engine} {wanted}. Choose it with .nvmrc or nodeVersion, or set installCommand to"
        " `yarn install --ignore-engines`.",
    ),
    _row(
        "yarn-lock-out-of-step",
        r"Your lockfile needs to be updated|YN0028",
        "yarn.lock does not fit package.json. Run `yarn install` and commit yarn.lock, or set installCommand to"
        " `yarn install --no-immutable` (yarn 1: `yarn install`).",
    ),
    _row(
        "yarn-berry-package-not-found",
        r"YN0035: .{0,200}Package not found|YN0035: .{0,40}Response Code: 404",
        "The registry has no such package. Check its name in package.json; a private package needs a token in"
        " .yarnrc.yml.",
    ),
    _row(
        "yarn-berry-version-not-found",
        r"YN0082|(?P<package>\S{1,200}): No candidates found",
        "No published version fits what package.json asks for. Correct the version there.",
    ),
    _row(
        "yarn-berry-checksum",
        r"YN0018",
        "The registry's file is not the one that yarn.lock recorded. Run `YARN_CHECKSUM_BEHAVIOR=update yarn"
        " install` and"
        " commit yarn.lock.",
    ),
)
_BUN_ROWS = (
    _row(
        "bun-lock-frozen",
        r"lockfile had changes, but lockfile is frozen",
        "bun.lock does not fit package.json. Run `bun install` and commit bun.lock, or set installCommand to `bun"
        " install`.",
    ),
    _row(
        "bun-version-not-found",
        r"No version matching \"(?P<wanted>[^\"\n]{1,100})\" found for specifier \"(?P<package>[^\"\n]{1,200})\"",
        "No published version of {package} fits {wanted}. Correct the version in package.json.",
    ),
    _row(
        "bun-package-not-found",
        r"error: GET \S{1,300} - 404|error: \S{1,200} failed to resolve",
        "The registry has no such package. Check its name in package.json; a private package needs a token in .npmrc.",
    ),
)
_NODE_ROWS = (
    _row(
        "openssl-of-old-webpack",
        r"digital envelope routines|ERR_OSSL_EVP_UNSUPPORTED",
        "This webpack is made for Node 16 and older. Set nodeVersion to 16, upgrade webpack to 5.61 or newer, or begin"
        " buildCommand with `NODE_OPTIONS=--openssl-legacy-provider`.",
    ),
    _row(
        "node-too-old",
        r"SyntaxError: Unexpected token '(?:\?\?=|\|\|=|&&=|\?|\.|\?\.|with|#)'|crypto\.hash is not a function"
        r"|(?:structuredClone|fetch|File|ReadableStream|CustomEvent|navigator|WebSocket) is not defined"
        r"|(?:Object\.groupBy|Array\.fromAsync|Promise\.withResolvers|\.(?:toSorted|toReversed|findLast|at"
        r"|styleText)) is not a function"
        r"|does not provide an export named 'styleText'|No such built-in module: node:|ERR_UNKNOWN_BUILTIN_MODULE"
        r"|(?:requires|required|minimum).{0,40}Node\.js.{0,20}version|requires Node\.js"
        r"|Node\.js version .{1,40} is required"
        r"|Node\.js v\S{1,20} is not supported",
        "This code needs a newer Node. Choose one with .nvmrc, `engines` or nodeVersion.",
    ),
    _row(
        "require-of-esm",
        r"ERR_REQUIRE_ESM|require\(\) of ES Module",
        "A package that is an ES module is loaded with require(). Use Node 22.12 or newer, write import instead of"
        " require,"
        " or install the package's last version for require.",
    ),
    _row(
        "esm-in-commonjs",
        r"Cannot use import statement outside a module|require is not defined in ES module scope"
        r"|module is not defined in ES module scope",
        "The file's module format is not the one that Node assumes. Set `type` in package.json, or name it .mjs or"
        " .cjs.",
    ),
    _row(
        "node-sass",
        r"Node Sass does not yet support|node-sass.{0,100}(?:gyp|Cannot download|binding)"
        r"|\bnode-sass\b.{0,40}(?:ERR|error|failed)",
        "node-sass is no longer maintained and supports no recent Node. Replace it by the package `sass`.",
    ),
    _row(
        "gyp-without-python",
        r"gyp ERR! find Python|Could not find any Python installation",
        "A package is compiled with node-gyp, which needs Python. Use a version of it with a ready binary for this"
        " Node, or"
        " choose the Node that it has one for.",
    ),
    _row(
        "gyp-without-compiler",
        r"not found: make|gyp ERR! .{0,60}(?:make|g\+\+|cc)\b.{0,40}(?:not found|ENOENT)|spawn make ENOENT",
        "A package is compiled with node-gyp, which needs make and a C++ compiler. Use a version of it with a ready"
        " binary"
        " for this Node, or choose the Node that it has one for.",
    ),
    _row(
        "gyp",
        r"gyp ERR! (?:build error|configure error|stack Error)",
        "A package could not be compiled. Use a version of it with a ready binary for this Node, or choose the Node"
        " that it"
        " has one for.",
    ),
    _row(
        "sharp",
        r"Could not load the \"sharp\" module|sharp: (?:Installation error|Please)"
        r"|Cannot find module '\.\./build/Release/sharp",
        "sharp's binary for linux-x64 is not installed. Upgrade to sharp 0.33 or newer, whose binaries come from the"
        " registry, and make the lockfile with `npm install --os=linux --cpu=x64 sharp`.",
    ),
    _row(
        "browser-download",
        r"Failed to (?:set up|download) (?:chrome|chromium|firefox)|Executable doesn't exist at"
        r"|Could not find (?:Chrome|Chromium|expected browser)",
        "Builds can't download a browser. Set PUPPETEER_SKIP_DOWNLOAD=1 or PLAYWRIGHT_SKIP_BROWSER_DOWNLOAD=1, and"
        " take the"
        " step that needs a browser out of the build.",
    ),
    _row(
        "binary-download",
        r"(?:getaddrinfo|connect|request to|download|GET) .{0,120}(?:github\.com|githubusercontent\.com"
        r"|amazonaws\.com|storage\.googleapis\.com|nodejs\.org)",
        "A package downloads a file while it is installed, and the build can't reach that host. Use a package that"
        " brings"
        " the file from the registry.",
    ),
)
_FRAMEWORK_ROWS = (
    _row(
        "warnings-are-errors",
        r"Treating warnings as errors because process\.env\.CI",
        "With CI=true this tool takes warnings for errors. Correct the warnings, or set buildCommand to `CI= npm"
        " run build`.",
    ),
    _row(
        "next-static-params",
        r"Page \"(?P<page>[^\"\n]{1,200})\" is missing \"generateStaticParams\(\)\""
        r"|is missing exported function \"generateStaticParams",
        "With `output: 'export'` a dynamic route lists its pages: export generateStaticParams() from it.",
    ),
    _row(
        "next-server-in-export",
        r"API Routes are not supported with \"output: export\"|not configured on route \"(?P<page>[^\"\n]{1,200})\""
        r"|(?:cannot|can't) be used with \"output: export\"|with \"output: export\"",
        "A static export has no server: remove API routes, middleware, server actions and `force-dynamic`, or set"
        " `export const dynamic = 'force-static'` in a route handler that can be computed at build time.",
    ),
    _row(
        "next-image-export",
        r"Image Optimization using the default loader is not compatible with",
        "A static export has no image server: set `images: {{ unoptimized: true }}` in next.config.js, or use"
        " another loader.",
    ),
    _row(
        "next-prerender",
        r"Error occurred prerendering page \"(?P<page>[^\"\n]{1,200})\"|Export encountered (?:an error|errors)",
        "A page failed while it was rendered at build time; its error stands in the log. A variable or a server"
        " that it needs may"
        " be missing.",
    ),
    _row(
        "next-client-component",
        r"You're importing a (?:component|module) that (?:needs|depends on)",
        "This component uses state or effects: begin its file with 'use client'.",
    ),
    _row(
        "next-type-error",
        r"^\W{0,3}Type error: ",
        "Next checks types while it builds. Correct the error, or set `typescript: {{ ignoreBuildErrors: true }}` in"
        " next.config.js.",
    ),
    _row(
        "next-lint",
        r"^\d+:\d+\s+Error: .{1,250}|ESLint: .{0,200}(?:Invalid Options|Failed to load)"
        r"|^info\s+- Need to disable some ESLint rules",
        "Next runs ESLint while it builds. Correct the error, or set `eslint: {{ ignoreDuringBuilds: true }}` in"
        " next.config.js.",
    ),
    _row(
        "astro-adapter",
        r"NoAdapterInstalled|Cannot use server-rendered pages without an adapter"
        r"|Cannot use `output: '(?:server|hybrid)'` without an adapter",
        "Only static sites are served: remove `output: 'server'` and `prerender = false`.",
    ),
    _row(
        "astro-content",
        r"InvalidContentEntryData|data does not match collection schema",
        "The frontmatter of this entry does not fit the schema in the content config. Correct one of them.",
    ),
    _row(
        "astro-integration",
        r"NoMatchingRenderer|NoClientEntrypoint|Unable to render `(?P<component>[^`\n]{1,100})`",
        "Add the integration of the component's framework to `integrations` in the Astro config (`npx astro add"
        " react`).",
    ),
    _row(
        "astro-static-paths",
        r"GetStaticPathsRequired|`getStaticPaths\(\)` function is required",
        "A dynamic route of a static site lists its pages: export getStaticPaths() from it.",
    ),
    _row(
        "sveltekit-routes",
        r"Encountered dynamic routes|routes were marked as prerenderable, but were not prerendered"
        r"|all routes must be fully prerenderable",
        "Set `prerender = true` for these routes and list their entries, or give adapter-static a `fallback` page.",
    ),
    _row(
        "sveltekit-adapter",
        r"Could not detect a supported production environment|adapter-auto",
        "Install @sveltejs/adapter-static and use it in svelte.config.js.",
    ),
    _row(
        "angular-budget",
        r"exceeded maximum budget",
        "A bundle is larger than its budget in angular.json. Make it smaller, or raise maximumError there.",
    ),
    _row(
        "dead-links",
        r"dead link\(s\) found|Docusaurus found broken links",
        "Pages link to pages that do not exist. Correct the links, or set `ignoreDeadLinks` (VitePress) or"
        " `onBrokenLinks:"
        " 'warn'` (Docusaurus).",
    ),
    _row(
        "gatsby-network",
        r"gatsby-\S{1,60}.{0,120}(?:ENOTFOUND|ECONNREFUSED|ETIMEDOUT|getaddrinfo|threw an error)",
        "A Gatsby plugin could not fetch its data. Check the address, and the variables that hold its keys.",
    ),
)
_CODE_ROWS = (
    _row(
        "postcss-plugin",
        r"Loading PostCSS Plugin failed: Cannot find module "
        + _PACKAGE
        + r"|use `?tailwindcss`? directly as a PostCSS plugin"
        r"|Error: Cannot find module '(?P<plugin>(?:@tailwindcss/|tailwindcss|autoprefixer|postcss-)[\w./-]{0,80})'",
        "The PostCSS config names a plugin that is not installed: `npm install --save-dev` it (since Tailwind 4 it is"
        " @tailwindcss/postcss), and commit package.json and the lockfile.",
    ),
    _row(
        WRONG_CASE,
        r"\bdiffers from (?:already included )?file name .{1,250} only in casing",
        "The names of files are case-sensitive here. Write the import exactly as the file is called.",
    ),
    _row(
        "typescript-errors",
        r"\berror TS\d{1,5}: (?:Cannot find module " + _RELATIVE + ")?",
        "Errors of TypeScript: {count}. Correct them, or set buildCommand to one that does not check types (`vite"
        " build` in"
        " place of `tsc && vite build`).",
    ),
    _row(
        "import-not-found",
        r"(?:failed to resolve import|Could not resolve|Can't resolve|Cannot find module|Unable to resolve) "
        + _RELATIVE,
        "There is no file {module}. Check its name, whether its letters have the same case, whether it is"
        " committed, and"
        " whether a step that makes it runs before.",
    ),
    _row(
        "package-not-installed",
        r"(?:failed to resolve import|Could not resolve|Can't resolve|Cannot find module|Cannot find package) "
        + _PACKAGE,
        "The package {package} is not installed: add it to package.json and commit the lockfile.",
    ),
    _row(
        "not-exported",
        r"is not exported by|does not provide an export named|Attempted import error",
        "A module does not export this name. Check its spelling, and whether the installed version has it.",
    ),
    _row(
        "no-entry-page",
        r"(?:Cannot|Could not) resolve entry module",
        "The file from which the build begins does not exist. Set rootDirectory to the folder that has it.",
    ),
    _row(
        "eslint-errors",
        r"^✖ \d+ problems? \(|ESLint found too many warnings|^\s+\d+:\d+\s+error\s",
        "ESLint found errors. Correct them, or set buildCommand to one that does not run it.",
    ),
    _row(
        "sass-error",
        r"Can't find stylesheet to import|Undefined (?:variable|mixin|function)|SassError|\[sass\]",
        "The stylesheet is wrong, or imports one that does not exist. Its file and line stand beside the error.",
    ),
    _row(
        "missing-variable",
        r"(?:[Mm]issing|[Rr]equired|[Ii]nvalid|[Uu]ndefined).{0,30}\b(?:env(?:ironment)?(?: |\.)?variables?"
        r"|process\.env)"
        r"|[Ee]nvironment variable.{0,80}(?:missing|not set|not defined|required|not found)"
        r"|\b[A-Z][A-Z0-9]*_[A-Z0-9_]{1,60} (?:is|must be) (?:not set|not defined|required|missing|set|defined)",
        "The build needs an environment variable. Set it before the command in buildCommand, or in the project's"
        " variables.",
    ),
    _row(
        "syntax-error",
        r"\[PARSE_ERROR\]|SyntaxError: |\[ERROR\] (?:Unexpected|Expected|Unterminated|Syntax error)|Parsing error:"
        r"|Unexpected token",
        "A file can't be parsed. Its line stands beside the error.",
    ),
    _row(
        "python-module",
        r"ModuleNotFoundError: No module named '(?P<package>[^'\n]{1,100})'",
        "Python has no module {package}: add its package to requirements.txt or pyproject.toml.",
    ),
    _row(
        "command-not-found",
        r"(?:^|[ :/])(?P<command>[\w.@/+-]{1,80}): (?:command )?not found$"
        r"|env: [‘'\"]?(?P<command1>[\w.@/+-]{1,80})[’'\"]?: No such file"
        r"|spawn (?P<command2>\S{1,80}) ENOENT|command not found: (?P<command3>\S{1,80})",
        "This command is neither a program of the builder nor of an installed package. Add its package to"
        " package.json, or"
        " correct the command.",
    ),
    _row(
        "network",
        r"getaddrinfo (?:ENOTFOUND|EAI_AGAIN) (?P<host>\S{1,200})"
        r"|connect (?:ECONNREFUSED|ETIMEDOUT|EACCES|ENETUNREACH) (?P<host1>\S{1,100})|fetch failed",
        "The build could not reach a server. Builds reach public hosts only; check the address.",
    ),
    _row(
        "yarn-berry-exception",
        r"YN0001",
        "Yarn ended by an error of its own; it stands beside YN0001.",
    ),
)

KNOWN = (
    *_RESOURCES,
    *_PNPM_ROWS,
    *_NPM_ROWS,
    *_YARN_ROWS,
    *_BUN_ROWS,
    *_NODE_ROWS,
    *_FRAMEWORK_ROWS,
    *_CODE_ROWS,
)
