// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "table.h"

namespace nearcall::tools {

// Of numbers: short and with their units for people ("12.3us", "4.5K"), as they are for programs.
std::string NsText(double ns, const Look& look);
std::string BytesText(double bytes, const Look& look);
std::string NumberText(double number, const Look& look);

}  // namespace nearcall::tools
