// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "echo.nearcall.pb.h"  // includes echo.pb.h and the few public runtime headers it needs

// What the parts of contract_test share.
#define EXPECT(condition) \
  if (!(condition)) Failed(__FILE__, __LINE__, #condition)

void Failed(const char* file, int line, const char* condition);

demo::Request MakeRequest(const std::string& text);

// Calls and handlers that do not wait.
void WithoutWaiting();

// Classes of the program that derive from the library's.
void WithDerivedClasses();
