"""What every stage stands on: files, errors, logs, processes and work folders."""
