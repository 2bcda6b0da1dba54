"""The whole job: every step, from the sources to Production."""

from pipelines.options import step_command

command = step_command("main")

if __name__ == "__main__":
    command()
