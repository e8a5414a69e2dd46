# A stand-in for what the installer shares with the commands.
function Get-Docker { 'docker' }
