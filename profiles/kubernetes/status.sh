#!/bin/sh
# Print the status of one job, by its name, for Snakemake: success, failed or running.
set -u
what='jsonpath={.metadata.name} {.status.conditions[*].type} '
# A server that does not respond says nothing about the job: Snakemake asks again.
state=$(kubectl get "$1" --ignore-not-found --output "$what") || { echo running; exit; }
case $state in
*" Complete "*) echo success ;;
*" Failed "*) echo failed ;;
"") echo failed ;; # somebody deleted it
*) echo running ;;
esac
