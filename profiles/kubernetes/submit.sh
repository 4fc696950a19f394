#!/bin/sh
# Submit one job, described by job.yaml, and print its name.
# Arguments: rule, threads, memory in MB, minutes, GPUs, and the script that Snakemake wrote.
set -eu
sed -e "s|@rule@|$(echo "$1" | tr _ -)|" -e "s|@threads@|$2|" -e "s|@memory@|$3|g" \
  -e "s|@seconds@|$(($4 * 60))|" -e "s|@gpus@|$5|" -e "s|@script@|$(realpath "$6")|" \
  "$(dirname "$0")/job.yaml" | kubectl create --filename - --output name
