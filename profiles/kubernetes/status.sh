#!/bin/sh
# Say of one job, by its name, what Snakemake wants to know: success, failed or running.
set -u
what='jsonpath={.metadata.name} {.status.conditions[*].type} '
# A server that does not answer says nothing of the job: asked again at the next check.
state=$(kubectl get "$1" --ignore-not-found --output "$what") || { echo running; exit; }
case $state in
*" Complete "*) echo success ;;
*" Failed "*) echo failed ;;
"") echo failed ;; # somebody deleted it
*) echo running ;;
esac
