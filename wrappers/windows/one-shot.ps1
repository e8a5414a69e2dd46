# Value of the key in the environment file, which is read and never run. A mark at its start is no part of it.
function Get-EnvValue([string]$Key) {
    $value = ''
    if ([System.IO.File]::Exists($env_file)) {
        foreach ($line in [System.IO.File]::ReadAllLines($env_file)) {
            if ($line -cmatch ('\A' + [regex]::Escape($Key) + '=(.*)\z')) {
                $value = $Matches[1].Trim()
            }
        }
    }
    $value
}

# Returns only for an administrator, with an engine that answers.
function Assert-Host {
    $me = New-Object Security.Principal.WindowsPrincipal ([Security.Principal.WindowsIdentity]::GetCurrent())
    if (-not $me.IsInRole([Security.Principal.WindowsBuiltInRole]::Administrator)) {
        Stop-Script 2 not_root 'This command needs an administrator.' 'Open PowerShell as administrator.'
    }
    if ((Invoke-Docker @('version', '--format', '{{.Server.Version}}')).Code -ne 0) {
        Stop-NoEngine
    }
}

# A name that docker cannot take for an option.
function Test-Image([string]$Name) {
    $Name -cmatch '\A[A-Za-z0-9][A-Za-z0-9._/:@-]*\z'
}

function Test-ImageHere([string]$Name) {
    (Invoke-Docker @('image', 'inspect', $Name)).Code -eq 0
}

# The image that the environment file names, and the last one that was healthy.
function Get-NamedImage {
    $named = Get-EnvValue 'FLAGEEMONITOR_IMAGE'
    if ($named) { $named } else { Get-EnvValue 'ARIUSMONITOR_IMAGE' }
}

function Get-HealthyImage {
    $note = Join-Path $folder 'healthy_image'
    if ([System.IO.File]::Exists($note)) { [System.IO.File]::ReadAllText($note).Trim() } else { '' }
}

# Empty, or why not.
function Get-PullProblem([string]$Name) {
    $login = @()
    if ([System.IO.File]::Exists((Join-Path $folder 'docker\config.json'))) {
        $login = @('--config', (Join-Path $folder 'docker'))
    }
    Write-Message "Pulling $Name ..."
    $said = Invoke-Docker ($login + @('pull', '--quiet', $Name))
    if ($said.Code -eq 0) { '' } else { 'docker: ' + (ConvertTo-OneLine ($said.Err + ' ' + $said.Out)) }
}

function Stop-Busy {
    Stop-Script 6 busy "Another update of $runtime is in progress." "It ends by itself; follow it: docker logs -f $runtime-deploy"
}

# Whether the container RUNTIME-deploy is a deploy of this runtime: by its label, or by that of its image where an older release made it.
function Test-Deploy {
    $format = '{{index .Config.Labels "flageemonitor.runtime"}} of {{index .Config.Labels "org.opencontainers.image.title"}}'
    $said = Invoke-Docker @('container', 'inspect', '--format', $format, "$runtime-deploy")
    # One that is gone is no stranger.
    return $said.Code -ne 0 -or $said.Out -clike "$runtime of *" -or $said.Out -clike '* of FlageeMonitor Proxy'
}

# A container of this name is another deploy at work, or was left behind by an engine that was killed, or is not ours.
function Clear-Name {
    foreach ($try in 1..4) {
        $state = (Get-Container "$runtime-deploy").State
        if ($state -eq 'none') {
            return
        } elseif ($state -eq 'away') {
            Stop-NoEngine
        } elseif (-not (Test-Deploy)) {
            Stop-Script 1 engine_error "A container $runtime-deploy exists that is not of this program. Nothing was changed." `
                "Rename it: docker rename $runtime-deploy another-name"
        } elseif (@('running', 'paused', 'restarting') -ccontains $state) {
            Stop-Busy
        } elseif ($try -lt 3 -and @('created', 'removing') -ccontains $state) {
            [System.Threading.Thread]::Sleep(1000)
        } else {
            # Without force: another deploy may have started it since.
            $null = Invoke-Docker @('rm', "$runtime-deploy")
        }
    }
    Stop-Script 1 engine_error "The container $runtime-deploy was left behind and cannot be removed. Nothing was changed." `
        "Remove it: docker rm -f $runtime-deploy"
}

# The command line of the one-shot container, as docs/deployment.md has it. Docker writes $Made once the container is made.
function Get-DeployCommand([string]$Image, [string]$Made, [string[]]$More) {
    @(
        'run', '--rm', '--name', "$runtime-deploy", '--label', "flageemonitor.runtime=$runtime", '--label', 'flageemonitor.role=deploy',
        '--cidfile', $Made, '--user', '0:0', '--network', 'none', '--read-only', '--tmpfs', '/tmp',
        '--cap-drop', 'ALL', '--cap-add', 'DAC_OVERRIDE', '--cap-add', 'CHOWN', '--cap-add', 'FOWNER',
        '--security-opt', 'no-new-privileges', '--security-opt', 'label=disable', '-e', $locale,
        '-v', '/var/run/docker.sock:/var/run/docker.sock', '-v', "${folder}:/host/etc", '-v', "$runtime-data:/host/data",
        '-v', "$(Join-Path $folder 'bin'):/host/bin",
        $Image, 'deploy', $verb, '--runtime-name', $runtime, '--host-os', 'windows', '--socket', '/var/run/docker.sock',
        '--config-source', (Join-Path $folder 'config'), '--data-source', "$runtime-data"
    ) + $More
}

# Runs it, and sets ExitCode; no Ctrl-C leaves it half-way.
function Invoke-Deploy([string]$Image, [string[]]$More) {
    $made = Join-Path ([System.IO.Path]::GetTempPath()) "$runtime-deploy.$PID.id"
    [System.IO.File]::Delete($made)
    try {
        Invoke-Live (Get-DeployCommand $Image $made $More) {
            param($process, $coming)
            Write-Warned 'This cannot be interrupted half-way. Waiting for its end.'
            Receive-Rest $process $coming
        }
        $created = [System.IO.File]::Exists($made) -and [System.IO.File]::ReadAllText($made)
    } finally {
        [System.IO.File]::Delete($made)
    }
    $code = $script:ExitCode
    if ($code -eq 126 -or $code -eq 127 -or ($code -eq 125 -and -not $created)) {
        # Somebody was faster with the name, or the engine did not start the container.
        if (@('running', 'created', 'paused', 'removing') -ccontains (Get-Container "$runtime-deploy").State) {
            Stop-Busy
        }
        Stop-Script 1 engine_error "The engine did not start $Image (docker: $code). Nothing was changed."
    }
    $again = if ($command -ceq 'uninstall') { $program } else { "$program --repair" }
    if ($code -eq 125 -or $code -ge 128) {
        $ended, $reason = if ($code -eq 125) { 1, 'engine_error' } else { $code, 'killed' }
        Stop-Script $ended $reason "The container of $Image was ended, or the engine went away (docker: $code). What was changed until then is not known." `
            "Complete or undo it once the engine answers: $again"
    } elseif ($code -ne 0 -and -not $script:Answered) {
        Stop-Script 1 no_answer "$Image ended with code $code and gave no answer: it cannot run, or it failed. What was changed until then is not known." `
            "What the image printed, if anything, is above. If it is new, use another image. Check the proxy: $again"
    }
}
