"""`ampctl worker`: who works, who has gone silent, and who shall rest."""

from __future__ import annotations

from cyclopts import App

from ampd.cli.ctl import output
from ampd.cli.ctl.common import DEFAULT_OPTIONS, Options, admin_api

app = App(name="worker", alias="workers", help="Workers: look at them, keep work away from them.")


@app.command(name="list", alias="ls")
def list_workers(*, options: Options = DEFAULT_OPTIONS) -> None:
    """List all workers with their last heartbeat, the newest registration first."""
    with admin_api(options, "failed to list workers") as client:
        workers = client.workers.list()
    raw = {"workers": [worker.raw for worker in workers]}
    output.emit(raw, output.worker_list(workers), as_json=options.json)


@app.command(name="inspect", alias="get")
def inspect_worker(node_id: str, /, *, options: Options = DEFAULT_OPTIONS) -> None:
    """Show a worker and its build. JSON when a program reads.

    Parameters
    ----------
    node_id
        Id of the worker.
    """
    with admin_api(options, f"failed to inspect worker {node_id}") as client:
        worker = client.workers.get(node_id)
    output.emit(worker.raw, output.worker_details(worker), as_json=output.wants_json(options.json))


@app.command(name="drain")
def drain_worker(node_id: str, /, *, options: Options = DEFAULT_OPTIONS) -> None:
    """Keep work away from a worker, also over its restarts. It finishes what it holds and hands its jobs back.

    Parameters
    ----------
    node_id
        Id of the worker.
    """
    with admin_api(options, f"failed to drain worker {node_id}") as client:
        worker = client.workers.drain(node_id)
    text = output.success(
        f"Worker {node_id} gets no new work", f"Jobs in hand: {worker.running_jobs}", f"ampctl worker undrain {node_id}"
    )
    output.emit(worker.raw, text, as_json=options.json)


@app.command(name="undrain")
def undrain_worker(node_id: str, /, *, options: Options = DEFAULT_OPTIONS) -> None:
    """Let work come to a worker again.

    Parameters
    ----------
    node_id
        Id of the worker.
    """
    with admin_api(options, f"failed to undrain worker {node_id}") as client:
        worker = client.workers.undrain(node_id)
    output.emit(worker.raw, output.success(f"Worker {node_id} gets work again"), as_json=options.json)
