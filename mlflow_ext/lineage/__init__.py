"""Where things come from: code, machine, steps. Light: `import mlflow` comes through here."""
