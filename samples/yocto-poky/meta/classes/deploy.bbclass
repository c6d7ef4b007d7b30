# SPDX-License-Identifier: MIT
# do_deploy: what the recipe puts into DEPLOYDIR goes to tmp/deploy/images/MACHINE.

DEPLOYDIR = "${WORKDIR}/deploy-${PN}"
SSTATETASKS += "do_deploy"
do_deploy[sstate-inputdirs] = "${DEPLOYDIR}"
do_deploy[sstate-outputdirs] = "${DEPLOY_DIR_IMAGE}"
do_deploy[cleandirs] = "${DEPLOYDIR}"
do_deploy[dirs] = "${B}"
do_build[recrdeptask] += "do_deploy"

python do_deploy_setscene() {
    sstate_setscene(d)
}
addtask do_deploy_setscene
