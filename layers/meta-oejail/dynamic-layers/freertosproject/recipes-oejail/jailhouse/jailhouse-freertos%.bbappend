# SPDX-License-Identifier: MIT
inherit oejail-deploy
