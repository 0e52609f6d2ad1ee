// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>
#include <string>

#include "snapshot.h"

namespace nearcall::tools {

// As a text that Prometheus reads (https://prometheus.io/docs/instrumenting/exposition_formats/). What OpenTelemetry
// has a name for has that (https://opentelemetry.io/docs/specs/semconv/rpc/rpc-metrics/).
std::string PrometheusText(std::span<const Snapshot> snapshots);

}  // namespace nearcall::tools
