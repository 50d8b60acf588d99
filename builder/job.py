"""One build from clone to upload: the seven steps in order."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import time
from collections.abc import Mapping
from pathlib import Path

from builder import collect
from builder.api import BuildersApi
from builder.cache import InstallCache
from builder.checkout import Checkout
from builder.collect import Output, collect_output, is_single_page, keep_hashed
from builder.commands import SOURCE, TOOLS, Commands
from builder.detect import Plan, make_plan
from builder.environment import describe_deployment, make_environment, with_variables
from builder.errors import BuildFailed
from builder.install import install
from builder.interpreters import Python, choose_python, find_pythons, read_python_wish
from builder.leaks import Leaks
from builder.logs import LineSender
from builder.node import Node, choose_node, find_nodes
from builder.outputs import choose_output, explain_no_page, explain_no_start, named
from builder.packages import Packages
from builder.programs import fetch_program
from builder.protocol.calls import Facts, Isolation, Job, Manifest
from builder.protocol.steps import Step
from builder.registry import Registry
from builder.run import Runner
from builder.sandbox import Limits, Sandbox
from builder.semver import version_text
from builder.settings.reading import branch_of
from builder.sources.git import clone
from builder.sources.lfs import check_pointers
from builder.toolchain import Toolchain, assemble
from builder.upload import count_files, megabytes, upload
from builder.wheels import WheelRegistry
from builder.wishes import read_wish
from builder.written import Before

UNBOUNDED = 2**62


@dataclasses.dataclass(frozen=True, slots=True)
class Folders:
    """`private` belongs to the builder; `build` is all that the build may write to.

    `packages`, for Node and package managers, may be shared by the builders of this machine, and is bounded then.
    """

    private: Path
    build: Path
    packages: Path
    packages_bytes: int = UNBOUNDED

    @property
    def source(self) -> Path:
        return self.build / SOURCE

    @property
    def tools(self) -> Path:
        return self.build / TOOLS

    def make(self) -> None:
        self.private.mkdir(mode=0o700, parents=True, exist_ok=True)
        for folder in (self.build, self.build / "home", self.tools):
            folder.mkdir(parents=True, exist_ok=True)


class Build:
    """Does one job. All that comes from the project runs in the sandbox."""

    def __init__(
        self,
        job: Job,
        api: BuildersApi,
        log: LineSender,
        folders: Folders,
        sandbox: Sandbox,
        cache: InstallCache,
    ) -> None:
        self._job = job
        self._api = api
        self._log = log
        self._folders = folders
        self._sandbox = sandbox
        self._cache = cache
        self._checkout = Checkout(folders.source)
        self._commit = ""
        self._pointers: Mapping[str, str] = {}
        self._packages = Packages(folders.packages, folders.packages_bytes, log.say)
        self._wheels = Packages(folders.packages, folders.packages_bytes, log.say, WheelRegistry())
        self._leaks = Leaks(job.variables)
        self._deadline = time.monotonic() + job.time_limit_seconds
        self._before: Before | None = None
        """The checkout before the first command. None: there was none."""

    async def do(self) -> None:
        """Returns once the gateway has the whole output. Raises BuildFailed, Lost or Ended."""
        try:
            async with asyncio.timeout(self._job.time_limit_seconds):
                plan = await self._build()
                output = await self._collect(plan)
                await self._upload(plan, output)
                await self._cache.announce()
        except TimeoutError as error:
            raise BuildFailed(
                f"The build took longer than its limit of {self._job.time_limit_seconds} s and was stopped."
            ) from error

    async def _build(self) -> Plan:
        try:
            await self._prepare()
            await self._clone()
            plan = await self._detect()
            await self._run(plan)
            return plan
        finally:
            await self._sandbox.kill_all()

    async def _begin(self, step: Step) -> None:
        self._log.step = step
        await self._api.start_step(step, int(time.time() * 1000))

    async def _prepare(self) -> None:
        await self._begin(Step.PREPARE)
        await asyncio.to_thread(self._folders.make)
        await self._api.add_facts(Facts(isolation=Isolation(self._sandbox.name)))
        await self._log.say(
            f"Building {self._job.project_slug} (isolation: {self._sandbox.words}; {self._sandbox.memory_words})"
        )

    async def _clone(self) -> None:
        await self._begin(Step.CLONE)
        commit = await clone(
            self._job.git_url,
            self._job.branch,
            self._folders.source,
            self._log,
            private=self._folders.private,
            allow_private_hosts=self._job.allow_private_hosts,
            disk_bytes=self._job.disk_bytes,
            memory_bytes=self._job.memory_bytes,
            token=self._job.git_token,
            key=self._job.deploy_key,
        )
        facts = Facts(commit_sha=commit.sha, commit_message=commit.message, git_url=commit.moved_to)
        await self._api.add_facts(facts)
        if commit.moved_to is not None:
            await self._log.say(f"From now on the project's git URL is {commit.moved_to}")
        await self._log.say(f"Commit {commit.sha[:8]} {commit.message}")
        self._commit = commit.sha
        self._pointers = commit.pointers

    async def _detect(self) -> Plan:
        await self._begin(Step.DETECT)
        plan = await asyncio.to_thread(make_plan, self._job, self._checkout)
        await self._api.add_facts(Facts(framework=plan.name, settings=plan.used()))
        for line in plan.settings.lines():
            await self._log.say(line)
        if plan.settings.text("ignore_command"):
            # A deployment by a push will be skipped if the command exits with 0.
            await self._log.say("The ignore command is not run, because this deployment was asked for.")
        await self._log.say(
            f"Detected {plan.name}" + (f", {plan.manager.manager.name}" if plan.install and plan.manager else "")
        )
        for note in plan.notes:
            await self._log.say(note)
        return plan

    async def _run(self, plan: Plan) -> None:
        if plan.install is None and plan.build is None:
            await self._log.say("There is nothing to install or to build.")
            return
        with contextlib.closing(self._packages), contextlib.closing(self._wheels):
            python = await self._choose_python(plan)
            tools = await self._add_programs(plan, await self._choose_tools(plan), python)
            commands = Commands(plan, tools, self._sandbox.path(self._folders.build), python)
            await asyncio.to_thread(commands.link_programs, self._folders.tools)
            await self._begin(Step.INSTALL)
            is_restored = await self._cache.restore(plan, tools, self._deadline)
            # After it, because the caches of frameworks hold pages too, which this build did not write.
            self._before = await asyncio.to_thread(Before, self._checkout, self._deadline)
            await self._run_commands(plan, commands, self._make_runner(plan), is_restored=is_restored)

    async def _run_commands(self, plan: Plan, commands: Commands, runner: Runner, *, is_restored: bool) -> None:
        if await install(plan, commands, runner, self._log, self._checkout, is_restored=is_restored):
            await asyncio.to_thread(self._cache.installed)
        await self._begin(Step.BUILD)
        build = commands.build()
        if build is not None:
            await runner.run(build)

    def _make_runner(self, plan: Plan) -> Runner:
        environment = {
            **make_environment(self._sandbox.path(self._folders.build / "home")),
            **describe_deployment(self._job, branch_of(self._job, self._checkout), self._commit),
        }
        return Runner(
            self._sandbox,
            self._log,
            work=self._folders.build,
            environment=self._with_variables(plan, environment),
            limits=Limits(
                memory_bytes=self._job.memory_bytes,
                processes=self._job.processes,
                disk_bytes=self._job.disk_bytes,
                time_limit_seconds=self._job.time_limit_seconds,
            ),
        )

    async def _choose_tools(self, plan: Plan) -> Toolchain:
        wish, notes = await asyncio.to_thread(
            read_wish, plan.settings.text("node_version"), self._checkout, plan.package.root
        )
        local = await asyncio.to_thread(find_nodes)
        if local:
            self._packages.registry = Registry(local[-1].npm, local[-1].folders, self._folders.private / "npm")
        node, more = await choose_node(wish, local, self._packages)
        for note in (*notes, *more):
            await self._log.say(note)
        if node is None:
            if plan.manager is not None:
                raise BuildFailed("This builder has no Node.js. The operator must install it.")
            return Toolchain({})
        await self._log.say(f"Node {version_text(node.version)} ({node.origin})")
        await self._api.add_facts(Facts(node_version=version_text(node.version)))
        return await self._add_manager(plan, node)

    async def _add_manager(self, plan: Plan, node: Node) -> Toolchain:
        toolchain = await assemble(plan.manager.manager if plan.manager else None, node, self._packages)
        for note in toolchain.notes:
            await self._log.say(note)
        return toolchain

    async def _choose_python(self, plan: Plan) -> Python | None:
        if plan.python is None:
            return None
        wish = await asyncio.to_thread(
            read_python_wish, self._with_variables(plan, {}), self._checkout, plan.package.root
        )
        pythons = await asyncio.to_thread(find_pythons)
        if not pythons:
            raise BuildFailed("This builder has no Python that builds can use. The operator must install python3.")
        python, note = choose_python(wish, pythons)
        await self._log.say(note or f"Python {python.text}" + (f" ({wish.source})" if wish else ""))
        return python

    async def _add_programs(self, plan: Plan, tools: Toolchain, python: Python | None) -> Toolchain:
        own = plan.framework.program if plan.framework is not None else ""
        names = {**dict.fromkeys(sorted(plan.programs), False), **({own: True} if own else {})}
        if python is not None:
            names["uv"] = True
        variables = self._with_variables(plan, {})
        added = [await fetch_program(name, variables, self._wheels, needed=needed) for name, needed in names.items()]
        for name, each in zip(names, added, strict=True):
            for note in each.notes:
                await self._log.say(note)
            if each.version:
                await self._log.say(f"{name} {each.version}")
        return tools.with_programs(added, python.read_only if python is not None else ())

    def _with_variables(self, plan: Plan, environment: Mapping[str, str]) -> dict[str, str]:
        """Above the environment stand the variables of settings files, and above these the project's."""
        own = {each.name: each.value for each in self._job.variables}
        return with_variables(with_variables(environment, plan.settings.environment), own)

    async def _collect(self, plan: Plan) -> Output:
        await self._begin(Step.COLLECT)
        try:
            output = await asyncio.to_thread(self._find_files, plan)
        except TimeoutError:
            raise  # TimeoutError is an OSError too
        except OSError as error:
            raise BuildFailed(f"The output can't be read: {error.strerror or error} ({error.filename}).") from error
        check_pointers(output.files, self._pointers)
        for note in output.notes:
            await self._log.say(note)
        if output.leak:
            raise BuildFailed(output.leak)
        await self._api.add_facts(Facts(settings=plan.used(output.folder)))
        await self._log.say(
            f"Collected {count_files(len(output.files))}, {megabytes(output.bytes)}, from {named(output.folder)}"
        )
        return output

    def _find_files(self, plan: Plan) -> Output:
        written = self._before.compare(self._deadline) if self._before is not None else None
        found = choose_output(plan, self._checkout, written)
        output = collect_output(
            self._folders.source,
            found.folder,
            collect.Limits(self._job.output_files, self._job.output_bytes, self._job.file_bytes),
            is_source=found.folder == plan.package.root or found.folder in plan.package.root.parents,
            deadline=self._deadline,
            leaks=self._leaks,
        )
        # A folder that a setting names may hold data for other sites. A framework that left no page has made a server.
        if not output.has_page and (plan.framework is not None or not plan.is_output_given):
            raise BuildFailed(explain_no_page(found.folder))
        return dataclasses.replace(output, notes=(*found.notes, *output.notes, *explain_no_start(output)))

    async def _upload(self, plan: Plan, output: Output) -> None:
        await self._begin(Step.UPLOAD)
        manifest = await asyncio.to_thread(_make_manifest, plan, output)
        await upload(self._api, self._log, self._folders.source, output, manifest)


def _make_manifest(plan: Plan, output: Output) -> Manifest:
    framework = plan.framework
    return Manifest(
        files=output.files,
        framework=plan.name,
        is_single_page=framework is not None and framework.is_single_page and is_single_page(output.files),
        hashed_folders=keep_hashed(framework.hashed_folders if framework else (), output.files),
    )
