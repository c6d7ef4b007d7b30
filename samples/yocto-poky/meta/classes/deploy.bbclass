# SPDX-License-Identifier: MIT
# do_deploy: what the recipe puts into DEPLOYDIR goes to tmp/deploy/images/MACHINE.

DEPLOYDIR = "${WORKDIR}/deploy-${PN}"
do_deploy[cleandirs] = "${DEPLOYDIR}"
do_deploy[dirs] = "${B}"
do_deploy[postfuncs] = "deploy_files"
do_build[recrdeptask] += "do_deploy"

python deploy_files() {
    import shutil

    source, target = d.getVar("DEPLOYDIR"), d.getVar("DEPLOY_DIR_IMAGE")
    for name in package_files(source):
        destination = os.path.join(target, name)
        bb.utils.mkdirhier(os.path.dirname(destination))
        shutil.copy2(os.path.join(source, name), destination + ".new", follow_symlinks=False)
        os.rename(destination + ".new", destination)
}
