// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <CLI/CLI.hpp>

#include "settings.h"

namespace nearcall::tools {

// Flags that several commands have: each adds one, or a group, to `command`, whose values go to `settings`.
void AddTimeout(CLI::App& command, Settings& settings, const char* of_what);
void AddFiles(CLI::App& command, Settings& settings);
void AddPriority(CLI::App& command, Settings& settings);
void AddHeaders(CLI::App& command, Settings& settings);

// Flags of one command.
void AddStatFlags(CLI::App& command, Settings& settings);
void AddTraceFlags(CLI::App& command, Settings& settings);
void AddBenchFlags(CLI::App& command, Settings& settings);

}  // namespace nearcall::tools
